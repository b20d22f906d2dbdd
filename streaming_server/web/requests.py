"""Request bodies and queries, read and validated."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from typing import Annotated, Protocol, TypeVar

import orjson
from pydantic import BaseModel, Field
from starlette.requests import Request

from streaming_server.errors import BadMessage, BadValue, TooLarge
from streaming_server.web.openapi.operation import Parameter
from streaming_server.web.services import speech_services
from streaming_server.web.validation import validated

ESCAPED_BYTES = 12
"""Bytes of one character beyond the first plane as JSON escapes it, twice `\\uXXXX`."""
DECODED_BYTES = 64 * 1024
"""Most bytes that a compressed body yields at a time."""
OTHER_FIELDS_BYTES = 64 * 1024
"""Bytes that a JSON body may have besides the longest text."""
MAX_LISTED = 500
"""The largest `limit` of a list."""
DEFAULT_LISTED = 50
LIMIT = Parameter(
    "limit", Annotated[int, Field(ge=1, le=MAX_LISTED)], f"How many to return; {DEFAULT_LISTED} by default."
)

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request) -> bytes:
    """Return the body, decompressed if it is gzip. Raise BadMessage, Full, TooLarge or TooSlow.

    It may be as long as the longest text is with every character escaped, so that the text itself decides.

    Starlette's limit counts bytes as they arrive, which says little about gzip, and raises an HTTPException,
    which vendors' routes could not answer in their own form.
    """
    longest_text = speech_services(request).settings.max_context_characters
    limit = ESCAPED_BYTES * longest_text + OTHER_FIELDS_BYTES
    decoder = decoder_of(request)
    body, received = bytearray(), 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            for content in decoder.feed(chunk):
                body += content
                if max(received, len(body)) > limit:
                    raise TooLarge(f"The body is longer than {limit} bytes.")
        decoder.finish()
    except BaseException:
        body.clear()  # The traceback would keep it until the garbage collector runs, which is seldom.
        raise
    return bytes(body)


class Decoder(Protocol):
    """Undoes a body's Content-Encoding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Iterate over more of the content, in pieces of bounded length. Raise BadMessage."""
        ...

    def finish(self) -> None:
        """Raise BadMessage unless the content is complete."""
        ...


class _Plain(Decoder):
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        pass


class _Gzip(Decoder):
    """Decompress gzip (RFC 1952)."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def feed(self, data: bytes) -> Iterator[bytes]:
        more = True
        while more:
            try:
                content = self._inflate.decompress(data, DECODED_BYTES)
            except zlib.error:
                raise BadMessage("The body is not gzip, as its Content-Encoding says.") from None
            if self._inflate.unused_data:
                raise BadMessage("The gzip body has data after its end.")
            yield content
            data = self._inflate.unconsumed_tail
            more = bool(data) or len(content) == DECODED_BYTES

    def finish(self) -> None:
        if not self._inflate.eof:
            raise BadMessage("The gzip body is incomplete.")


def decoder_of(request: Request) -> Decoder:
    """Return the decoder of a request's body. Raise BadMessage for an encoding that is not supported."""
    match request.headers.get("content-encoding", "identity").strip().lower():
        case "identity" | "":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Gzip()
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
