"""Frames of the stream socket between the server and a worker.

Each frame is

    u32 size of what follows | u32 size of the header | header | body

little-endian. The header is a message (see `messages`), the body the raw PCM it refers to.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streaming_server.errors import ProtocolError

_PREFIX = struct.Struct("<II")
_SIZE_FIELD = 4
"""Bytes of the header's size, which the first size includes."""

MAX_FRAME = 64 * 1024 * 1024
"""Bytes. Far above anything an engine sends; a larger size means that the stream is corrupt."""


class MessageFrame(NamedTuple):
    header: bytes
    body: bytes


def pack(header: bytes, body: Sequence[bytes] = ()) -> bytes:
    """Return a frame as it goes over the socket. The parts of the body are joined."""
    size = _SIZE_FIELD + len(header) + sum(map(len, body))
    return b"".join((_PREFIX.pack(size, len(header)), header, *body))


class FrameReader:
    """Reassemble frames from pieces of any size. No I/O."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[MessageFrame]:
        """Yield every frame that `data` completes.

        Raise ProtocolError for an impossible size; nothing can be read after it.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _PREFIX.size:
                size, header_size = _PREFIX.unpack_from(buffer, start)
                if size > MAX_FRAME or header_size + _SIZE_FIELD > size:
                    raise ProtocolError(f"A frame claims {size} bytes with a header of {header_size}.")
                if len(buffer) - start < size + _SIZE_FIELD:
                    break
                header = start + _PREFIX.size
                body = header + header_size
                start += size + _SIZE_FIELD
                yield MessageFrame(bytes(buffer[header:body]), bytes(buffer[body:start]))
        finally:
            del buffer[:start]
