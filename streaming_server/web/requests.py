"""Request bodies and queries, read and validated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from streaming_server.errors import BadMessage, BadValue, TooLarge
from streaming_server.web.auth import key_of
from streaming_server.web.openapi.operation import Parameter
from streaming_server.web.services import parts_of

MAX_BODY_BYTES = 1024 * 1024
"""Of a JSON body; far more than the longest text."""
MAX_LISTED = 500
"""The largest `limit` of a list."""
DEFAULT_LISTED = 50
LIMIT = Parameter(
    "limit", Annotated[int, Field(ge=1, le=MAX_LISTED)], f"How many to return; {DEFAULT_LISTED} by default."
)

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the body. Raise TooLarge as soon as more than `limit` bytes have arrived."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"The body is longer than {limit} bytes.")
    return bytes(body)


async def read_json(request: Request, model: type[Body], *, optional: bool = False) -> Body:
    """Return the body as `model`; an empty body counts as `{}` if `optional`.

    Raise TooLarge, BadMessage for anything but a JSON object, and BadValue naming the field and its range.
    """
    raw = await read_body(request)
    if not raw and optional:
        raw = b"{}"
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadMessage("The body is not JSON.") from None
    return validated(model, value)


def validated(model: type[Body], value: Any) -> Body:
    """Return `value` as `model`. Raise BadMessage or BadValue."""
    if not isinstance(value, dict):
        raise BadMessage("The body is not a JSON object.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        wanted = range_of(model, first["loc"]) if first["type"] != "missing" else None
        raise BadValue(f"{wanted or first['msg'].removeprefix('Value error, ')}.", field=place) from None


def range_of(model: type[BaseModel], place: tuple[int | str, ...]) -> str | None:
    """Return the range of a field as "0.25 to 4", or None if it is not bounded above."""
    field = model.model_fields.get(str(place[0])) if len(place) == 1 else None
    if field is None:
        return None
    bounds = {
        name: value
        for limit in field.metadata
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if (value := getattr(limit, name, None)) is not None
    }
    match bounds:
        case {"ge": low, "le": high}:
            return f"{low:g} to {high:g}"
        case {"gt": low, "le": high}:
            return f"more than {low:g}, up to {high:g}"
        case {"ge": low, "lt": high}:
            return f"a whole number from {low} to {high - 1}"
        case {"min_length": low, "max_length": high}:
            return f"{low} to {high} characters"
        case {"max_length": high}:
            return f"at most {high} characters"
    return None


def flag(request: Request, name: str) -> bool:
    """Return a boolean of the query, False by default. Raise BadValue."""
    said = request.query_params.get(name, "false").lower()
    if said not in ("true", "1", "yes", "false", "0", "no"):
        raise BadValue("true or false.", field=name)
    return said in ("true", "1", "yes")


def limit_of(request: Request) -> int:
    """Return the query's `limit`, 1 to 500, 50 by default. Raise BadValue."""
    said = request.query_params.get("limit", str(DEFAULT_LISTED))
    if said.isascii() and said.isdigit() and len(said) <= 20 and 1 <= int(said) <= MAX_LISTED:
        return int(said)
    raise BadValue(f"a number from 1 to {MAX_LISTED}.", field="limit")


Endpoint = Callable[[Request], Awaitable[Response]]


def check_key(connection: HTTPConnection) -> None:
    """Raise Unauthorized unless the request carries a valid key or none is needed."""
    parts_of(connection).access.check_key(key_of(connection))


def keyed(endpoint: Endpoint) -> Endpoint:
    """Wrap an endpoint so that it needs a key."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        check_key(request)
        return await endpoint(request)

    return marked_as_keyed(guarded)


def marked_as_keyed(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that checks the key, for its documentation."""
    endpoint.__dict__["needs_key"] = True
    return endpoint


def needs_key(endpoint: Callable[..., Any]) -> bool:
    return bool(getattr(endpoint, "needs_key", False))
