"""Coding beside the event loop, which has others to serve meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from anyio import CapacityLimiter, to_thread

from streaming_server.container import AudioFormat, ContainerWriter, is_coded


class Coder:
    """A `ContainerWriter` that works in a thread where there is any work.

    Three seconds of speech as mp3 take some twenty milliseconds, in which no other listener would be sent a
    word. wav and pcm are no work, and stay on the event loop. Not for two tasks at once.
    """

    def __init__(self, writer: ContainerWriter, limiter: CapacityLimiter | None) -> None:
        self._writer = writer
        self._limiter = limiter

    async def push(self, pcm: bytes) -> bytes:
        """As `ContainerWriter.push`."""
        if self._limiter is None:
            return self._writer.push(pcm)
        return await to_thread.run_sync(self._writer.push, pcm, limiter=self._limiter)

    async def finish(self) -> bytes:
        """As `ContainerWriter.finish`."""
        if self._limiter is None:
            return self._writer.finish()
        return await to_thread.run_sync(self._writer.finish, limiter=self._limiter)

    def final_head(self) -> bytes:
        """As `ContainerWriter.final_head`."""
        return self._writer.final_head()


@asynccontextmanager
async def coder(
    audio_format: AudioFormat, sample_rate: int, limiter: CapacityLimiter, *, bit_rate: int | None = None
) -> AsyncIterator[Coder]:
    """A coder; its codec is freed on leaving. limiter: how many may code at once.

    Raises BadValue as `ContainerWriter` does.
    """

    def opened() -> ContainerWriter:
        return ContainerWriter(audio_format, sample_rate, bit_rate=bit_rate)

    if not is_coded(audio_format):
        with opened() as plain:
            yield Coder(plain, None)
        return
    with await to_thread.run_sync(opened, limiter=limiter) as writer:
        yield Coder(writer, limiter)


async def beside(work: Callable[[bytes], bytes], pcm: bytes, limiter: CapacityLimiter) -> bytes:
    """What some other coding makes of the PCM."""
    return await to_thread.run_sync(work, pcm, limiter=limiter)
