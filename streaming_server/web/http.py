"""What every HTTP route does the same way: JSON in, JSON out, errors in one shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from streaming_server.errors import BadMessage, BadValue, InternalError, SpeechError, TooLarge
from streaming_server.web.guard import key_of
from streaming_server.web.services import parts_of

MAX_BODY_BYTES = 1024 * 1024
"""Of a JSON body; far above the longest text."""
RETRY_AFTER_S = 2
MOST_LISTED = 500

Body = TypeVar("Body", bound=BaseModel)


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def refusal(error: SpeechError) -> Response:
    """The one shape of errors; `detail` is where the earlier server's clients look."""
    return told(error.code, error.message, error.http_status, retry_after(error.http_status))


def retry_after(status: int) -> dict[str, str]:
    """The header that tells when to come back, where that helps."""
    return {"retry-after": str(RETRY_AFTER_S)} if status in (429, 503) else {}


async def no_route(request: Request, error: Exception) -> Response:
    """What the router itself refuses, in the one shape."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower()
    return told(code, f"{error.detail}.", error.status_code, error.headers)


async def our_fault(request: Request, error: Exception) -> Response:
    """What nobody foresaw, in the one shape; what it was stands in the log."""
    return refusal(InternalError("Something went wrong here; it has been noted."))


async def nobody_there(request: Request, error: Exception) -> Response:
    """The client left before its request had come whole: there is nobody to answer."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def told(code: str, message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the one shape."""
    error = {"code": code, "message": message}
    return Json({"error": error, "detail": message}, status_code=status, headers=dict(headers or {}))


def check_key(connection: HTTPConnection) -> None:
    """Raises Unauthorized unless the request carries a key, where one is needed."""
    parts_of(connection).guard.check_key(key_of(connection))


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The body, counted as it arrives. Raises TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"The body is longer than {limit} bytes.")
    return bytes(body)


async def read_json(request: Request, model: type[Body], *, optional: bool = False) -> Body:
    """The body as `model`. An absent body is an empty object where it is optional.

    Raises TooLarge, BadMessage for what is no JSON object, and BadValue, which names the field and its range.
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
    """`value` as `model`. Raises BadMessage, BadValue."""
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
    """The numbers or lengths a field takes, as "0.25 to 4"; None where it is not bounded above."""
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
    """A yes or no in the query, no by default. Raises BadValue."""
    said = request.query_params.get(name, "false").lower()
    if said not in ("true", "1", "yes", "false", "0", "no"):
        raise BadValue("true or false.", field=name)
    return said in ("true", "1", "yes")


def limit_of(request: Request) -> int:
    """The query's `limit`, 1 to 500. Raises BadValue."""
    said = request.query_params.get("limit", "50")
    if said.isascii() and said.isdigit() and len(said) <= 20 and 1 <= int(said) <= MOST_LISTED:
        return int(said)
    raise BadValue(f"a number from 1 to {MOST_LISTED}.", field="limit")


def keyed(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint, for those who have the key."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        check_key(request)
        return await endpoint(request)

    return guarded
