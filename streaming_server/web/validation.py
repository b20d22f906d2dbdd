"""Values from clients, checked against models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from streaming_server.errors import BadMessage, BadValue
from streaming_server.validation import Schema, problems

Model = TypeVar("Model", bound=BaseModel)

MOST_LEVELS = 32
"""Levels of a JSON value. No message has more than a few; pydantic's errors fail at a thousand."""
MOST_VALUES = 1000
"""Values in a JSON value, at all levels. Thousands of wrong ones take pydantic a tenth of a second."""


def validated(model: type[Model], value: Any, *, most_values: int = MOST_VALUES) -> Model:
    """Return a JSON value as `model`. Strict: `false` and `"1"` are not numbers.

    Whole floats in it, such as 5.0, are replaced by integers. Raise BadMessage unless it is an object of at
    most `most_values` values that nests no deeper than MOST_LEVELS, or BadValue.
    """
    if not isinstance(value, dict):
        raise BadMessage("A JSON object is expected.")
    _make_numbers_whole(value, most_values)
    return _validated(model, value, strict=True)


def _make_numbers_whole(value: dict[str, Any], most_values: int) -> None:
    """Replace whole floats in a JSON object by integers, in place: JSON has one kind of number.

    Raise BadMessage if it nests deeper than MOST_LEVELS or has more than `most_values` values.
    """
    level: list[dict[str, Any] | list[Any]] = [value]
    values = 0
    for _ in range(MOST_LEVELS):
        values += sum(map(len, level))
        if values > most_values:
            raise BadMessage(f"The JSON has more than {most_values} values.")
        below: list[dict[str, Any] | list[Any]] = []
        for inside in level:
            for key, one in _items(inside):
                if isinstance(one, float) and one.is_integer():
                    inside[key] = int(one)
                elif isinstance(one, dict | list):
                    below.append(one)
        if not below:
            return
        level = below
    raise BadMessage(f"The JSON is nested more than {MOST_LEVELS} levels deep.")


def _items(inside: dict[str, Any] | list[Any]) -> Iterable[tuple[Any, Any]]:
    return inside.items() if isinstance(inside, dict) else enumerate(inside)


def validated_query(model: type[Model], query: Mapping[str, str]) -> Model:
    """Return a query as `model`, its numbers and booleans parsed. Raise BadValue."""
    return _validated(model, dict(query), strict=False)


def _validated(model: type[Model], value: dict[str, Any], *, strict: bool) -> Model:
    """Return a value as `model`. Raise BadValue, naming the first wrong field as the client knows it."""
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        first = problems(error, _schema_of(model))[0]
        raise BadValue(first.message, field=".".join(first.field) or None) from None


@cache
def _schema_of(model: type[BaseModel]) -> Schema:
    """Return a model's JSON schema, which takes milliseconds to compute."""
    return model.model_json_schema()
