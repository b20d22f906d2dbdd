"""pydantic's errors in the words of this server, for clients and operators alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

Schema = Mapping[str, Any]
"""A JSON schema."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error of a field.

    field: its name, as a path of properties and items; empty for the whole. message: a predicate of the
    field, or a sentence about the whole.
    """

    field: tuple[str, ...]
    message: str


def problems(error: ValidationError, schema: Schema) -> list[Problem]:
    """Return one problem for each wrong field at the top, in order. schema: of what was validated."""
    by_field: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for one in error.errors(include_url=False, include_input=False):
        by_field.setdefault(one["loc"][:1], []).append(one)
    return [_problem(found, schema) for found in by_field.values()]


def _problem(errors: Sequence[ErrorDetails], schema: Schema) -> Problem:
    """Return the problem with one field.

    pydantic adds the branches of a union to the location: `voice.str` is the field `voice`.
    """
    found = [(*_locate(schema, schema, one["loc"]), one) for one in errors]
    path, wanted, first = max(found, key=lambda one: len(one[0]))  # Of a union, the branch that got furthest.
    match first["type"]:
        case "missing":
            message = "is required."
        case "extra_forbidden":
            return Problem(tuple(map(str, first["loc"])), "is not a known field.")
        case "value_error" | "assertion_error":
            message = f"{first['ctx']['error']}."
        case _ if not path:
            message = "The name of a field is not valid text."
        case "string_pattern_mismatch" | "string_unicode":
            message = f"must be {wanted.get('description', 'valid text')}."
        case _:
            message = f"must be {_described(wanted, schema)}."
    return Problem(tuple(path), message)


def _described(schema: Schema, root: Schema) -> str:
    """Return what a JSON schema accepts, as words that follow "must be"."""
    schema = _resolved(schema, root)
    if "anyOf" in schema:
        branches = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(_described(one, root) for one in branches))
    if "const" in schema:
        return str(schema["const"]) or "empty"
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    match schema.get("type"):
        case "integer":
            return f"a whole number{_range(schema)}"
        case "number":
            return f"a number{_range(schema)}"
        case "string":
            return f"a string{_length(schema)}"
        case "boolean":
            return "true or false"
        case "array":
            return "a list"
    return "an object"


def _locate(schema: Schema, root: Schema, place: tuple[int | str, ...]) -> tuple[list[str], Schema]:
    """Return the part of a location that names properties and items, and the schema there."""
    path: list[str] = []
    for part in place:
        for branch in _branches(schema, root):
            inner = branch.get("items") if isinstance(part, int) else branch.get("properties", {}).get(part)
            if inner is not None:
                path.append(str(part))
                schema = inner
                break
    return path, schema


def _branches(schema: Schema, root: Schema) -> Iterator[Schema]:
    schema = _resolved(schema, root)
    if "anyOf" not in schema:
        yield schema
    for one in schema.get("anyOf", ()):
        yield from _branches(one, root)


def _resolved(schema: Schema, root: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return found


def _range(schema: Schema) -> str:
    """Return the range of a number: " from 0.25 to 4", or "" if it has none."""
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if below is not None and schema["type"] == "integer":
        high, below = below - 1, None
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    bounds = (("at least ", low), ("more than ", above), ("at most ", high), ("less than ", below))
    limits = [word + _number(bound) for word, bound in bounds if bound is not None]
    return f", {' and '.join(limits)}" if limits else ""


def _length(schema: Schema) -> str:
    low, high = schema.get("minLength"), schema.get("maxLength")
    if high is not None:
        return f" of {low} to {high} characters" if low else f" of at most {high} characters"
    return f" of at least {low} character{'s' if low > 1 else ''}" if low else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
