"""What every HTTP route does the same way: JSON in, JSON out, errors in one shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from streaming_server.errors import BadMessage, BadValue, SpeechError, TooLarge
from streaming_server.web.guard import key_of
from streaming_server.web.parts import parts_of

MAX_BODY_BYTES = 1024 * 1024
"""Of a JSON body; far above the longest text."""
RETRY_AFTER_S = 2

Body = TypeVar("Body", bound=BaseModel)


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def refusal(error: SpeechError) -> Response:
    """The one shape of errors; `detail` is where the earlier server's clients look."""
    headers = {"retry-after": str(RETRY_AFTER_S)} if error.http_status in (429, 503) else {}
    return Json(
        {"error": {"code": error.code, "message": error.message}, "detail": error.message},
        status_code=error.http_status,
        headers=headers,
    )


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
        raise BadValue(f"{place}: {first['msg'].removeprefix('Value error, ')}.") from None


def keyed(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint, for those who have the key."""

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        check_key(request)
        return await endpoint(request)

    return guarded
