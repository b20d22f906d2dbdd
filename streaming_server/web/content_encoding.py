"""Content-Encoding of request bodies: none, or gzip."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from starlette.requests import Request

from streaming_server.errors import BadMessage

DECODED_BYTES = 64 * 1024
"""Most bytes that a compressed body yields at a time."""


class Decoder(Protocol):
    """Undoes a body's Content-Encoding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Iterate over more of the content, in pieces of bounded length. Raise BadMessage."""
        ...

    def finish(self) -> None:
        """Raise BadMessage unless the content is complete."""
        ...


class _PlainDecoder(Decoder):
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
            return _PlainDecoder()
        case "gzip" | "x-gzip":
            return _Gzip()
    raise BadMessage("Content-Encoding not supported; send gzip or none.")
