"""Request bodies and queries, read and validated."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable
from typing import Annotated, TypeVar

import orjson
from pydantic import BaseModel, Field
from starlette.requests import Request

from streaming_server.errors import BadMessage, BadValue, TooLarge
from streaming_server.web.openapi.operation import Parameter
from streaming_server.web.validation import validated

MAX_BODY_BYTES = 1024 * 1024
"""Most bytes of a JSON body, far more than the longest text needs."""
MAX_LISTED = 500
"""The largest `limit` of a list."""
DEFAULT_LISTED = 50
LIMIT = Parameter(
    "limit", Annotated[int, Field(ge=1, le=MAX_LISTED)], f"How many to return; {DEFAULT_LISTED} by default."
)

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the body, decompressed if it is gzip. Raise BadMessage, Full, TooLarge or TooSlow.

    Starlette's limit counts bytes as they arrive, which says little about gzip, and raises an HTTPException,
    which vendors' routes could not answer in their own form.
    """
    decoded = _decoder(request, limit)
    body, received = bytearray(), 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            body += decoded(chunk)
            if max(received, len(body)) > limit:
                raise TooLarge(f"The body is longer than {limit} bytes.")
        decoded(b"", end=True)
    except BaseException:
        body.clear()  # The traceback would keep it until the garbage collector runs, which is seldom.
        raise
    return bytes(body)


class _Gzip:
    """Decompress gzip (RFC 1952) to at most one byte more than `limit`."""

    def __init__(self, limit: int) -> None:
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._left = limit + 1

    def __call__(self, data: bytes, *, end: bool = False) -> bytes:
        """Return more of the content. Raise BadMessage unless it is gzip and, at the end, complete."""
        try:
            content = self._inflate.decompress(data, self._left) if self._left else b""
        except zlib.error:
            raise BadMessage("The body is not gzip, as its Content-Encoding says.") from None
        if self._inflate.unused_data:
            raise BadMessage("The gzip body has data after its end.")
        self._left -= len(content)
        if end and not self._inflate.eof:
            raise BadMessage("The gzip body is incomplete.")
        return content


def _plain(data: bytes, *, end: bool = False) -> bytes:
    return data


def _decoder(request: Request, limit: int) -> _Gzip | Callable[..., bytes]:
    match request.headers.get("content-encoding", "identity").strip().lower():
        case "identity" | "":
            return _plain
        case "gzip" | "x-gzip":
            return _Gzip(limit)
    raise BadMessage("Content-Encoding not supported; send gzip or none.")


async def read_json(request: Request, model: type[Body], *, optional: bool = False) -> Body:
    """Return the body as `model`; an empty body counts as `{}` if `optional`.

    Raise as `read_body` does, BadMessage for anything but a JSON object, and BadValue naming the field.
    """
    raw = await read_body(request)
    if not raw and optional:
        raw = b"{}"
    try:
        value = orjson.loads(raw.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        raise BadMessage("The body must be JSON.") from None
    return validated(model, value)


def flag(request: Request, name: str) -> bool:
    """Return a boolean of the query, False by default. Raise BadValue."""
    said = request.query_params.get(name, "false").lower()
    if said not in ("true", "1", "yes", "false", "0", "no"):
        raise BadValue("must be true or false.", field=name)
    return said in ("true", "1", "yes")


def limit_of(request: Request) -> int:
    """Return the query's `limit`, 1 to 500, 50 by default. Raise BadValue."""
    said = request.query_params.get("limit", str(DEFAULT_LISTED))
    if said.isascii() and said.isdigit() and len(said) <= 20 and 1 <= int(said) <= MAX_LISTED:
        return int(said)
    raise BadValue(f"must be a whole number from 1 to {MAX_LISTED}.", field="limit")
