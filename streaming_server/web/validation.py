"""Values from clients, checked against models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from streaming_server.errors import BadMessage, BadValue
from streaming_server.validation import problems

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], value: Any) -> Model:
    """Return a JSON value as `model`. Strict: `false` and `"1"` are not numbers, and `5.0` is a whole one.

    Raise BadMessage unless it is an object, or BadValue.
    """
    if not isinstance(value, dict):
        raise BadMessage("This must be a JSON object.")
    return _validated(model, _with_whole_numbers(value), strict=True)


def _with_whole_numbers(value: Any) -> Any:
    """Return a JSON value with integers for whole floats: JSON has one kind of number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _with_whole_numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(one) for one in value]
    return value


def validated_query(model: type[Model], query: Mapping[str, str]) -> Model:
    """Return a query as `model`, its numbers and booleans parsed. Raise BadValue."""
    return _validated(model, dict(query), strict=False)


def _validated(model: type[Model], value: dict[str, Any], *, strict: bool) -> Model:
    """Return a value as `model`. Raise BadValue, naming the first wrong field as the client knows it."""
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        first = problems(error, model.model_json_schema())[0]
        raise BadValue(first.message, field=".".join(first.field) or None) from None
