"""Values from clients checked against models, and pydantic's errors in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from streaming_server.errors import BadMessage, BadValue

Model = TypeVar("Model", bound=BaseModel)
Schema = Mapping[str, Any]


def validated(model: type[Model], value: Any) -> Model:
    """Return a JSON value as `model`. Strict: `false` and `"1"` are not numbers.

    Raise BadMessage unless it is an object, or BadValue.
    """
    if not isinstance(value, dict):
        raise BadMessage("This must be a JSON object.")
    return _validated(model, value, strict=True)


def validated_query(model: type[Model], query: Mapping[str, str]) -> Model:
    """Return a query as `model`, its numbers and booleans parsed. Raise BadValue."""
    return _validated(model, dict(query), strict=False)


def bad_value(model: type[BaseModel], error: ValidationError) -> BadValue:
    """Return an error that names the field as the client knows it, and what the field takes.

    pydantic adds the branches of a union to the location: `voice.str` is the field `voice`.
    """
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    schema = model.model_json_schema()
    of_first = [one for one in errors if one["loc"][:1] == errors[0]["loc"][:1]]
    found = [(*_locate(schema, schema, one["loc"]), one) for one in of_first]
    path, wanted, first = max(found, key=lambda one: len(one[0]))  # Of a union, the branch that got furthest.
    if not path and first["type"] not in ("missing", "extra_forbidden"):
        return BadValue("The name of a field is not valid text.")
    field = ".".join(path)
    match first["type"]:
        case "missing":
            message = "is required."
        case "extra_forbidden":
            field = ".".join(map(str, first["loc"]))
            message = "is not a known field."
        case "value_error" | "assertion_error":
            message = f"{first['msg'].partition(', ')[2]}."
        case "string_pattern_mismatch" | "string_unicode":
            message = f"must be {wanted.get('description', 'valid text')}."
        case _:
            message = f"must be {described(wanted, schema)}."
    return BadValue(message, field=field or None)


def described(schema: Schema, root: Schema) -> str:
    """Return what a JSON schema accepts, as words that follow "must be"."""
    schema = _resolved(schema, root)
    if "anyOf" in schema:
        branches = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(described(one, root) for one in branches))
    if "const" in schema:
        return str(schema["const"])
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


def _validated(model: type[Model], value: dict[str, Any], *, strict: bool) -> Model:
    try:
        return model.model_validate(value, strict=strict)
    except ValidationError as error:
        raise bad_value(model, error) from None


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
