"""A reading in the forms that other vendors have and we do not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from streaming_server.audio.wav import wav_header
from streaming_server.types import Encoding
from streaming_server.web.reading import Body, Reading


def headerless(encoding: Encoding) -> Body:
    """The samples alone."""
    return lambda reading: reading.raw(encoding)


def wav(encoding: Encoding) -> Body:
    """The samples in a WAV file whose length is not known."""
    return lambda reading: _in_wav(reading, encoding)


async def _in_wav(reading: Reading, encoding: Encoding) -> AsyncGenerator[bytes, None]:
    """The head comes with the first sound: what is wrong before it can still be told otherwise."""
    head = wav_header(reading.sample_rate, encoding=encoding)
    async with aclosing(reading.raw(encoding)) as sound:
        async for data in sound:
            if data:
                yield head + data
                head = b""
