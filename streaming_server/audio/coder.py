"""Coding beside the event loop, which has others to serve meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from anyio import CapacityLimiter, to_thread

from streaming_server.audio.formats import AudioFormat, ContainerWriter, is_coded


class Coder:
    """A `ContainerWriter` that works in a thread where there is any work, the opening included.

    Three seconds of speech as mp3 take some twenty milliseconds, in which no other listener would be sent a
    word. wav and pcm are no work, and stay on the event loop. Not for two tasks at once.

    limiter: how many may code at once. What `ContainerWriter` raises, the first push or the finish raises.
    """

    def __init__(
        self,
        audio_format: AudioFormat,
        sample_rate: int,
        limiter: CapacityLimiter,
        *,
        bit_rate: int | None = None,
    ) -> None:
        self._form = (audio_format, sample_rate, bit_rate)
        self._limiter = limiter if is_coded(audio_format) else None
        self._writer: ContainerWriter | None = None
        self._working = Lock()
        self._closed = False

    async def push(self, pcm: bytes) -> bytes:
        """As `ContainerWriter.push`."""
        return await self._work(lambda: self._opened().push(pcm))

    async def finish(self) -> bytes:
        """As `ContainerWriter.finish`."""
        return await self._work(lambda: self._opened().finish())

    def final_head(self) -> bytes:
        """As `ContainerWriter.final_head`."""
        return self._opened().final_head()

    def close(self) -> None:
        """Frees the codec; while it codes for a task that was ended meanwhile, as soon as it is done.

        May be called again.
        """
        self._closed = True
        if self._working.acquire(blocking=False):
            try:
                self._free()
            finally:
                self._working.release()

    def _free(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _opened(self) -> ContainerWriter:
        if self._writer is None:
            audio_format, sample_rate, bit_rate = self._form
            self._writer = ContainerWriter(audio_format, sample_rate, bit_rate=bit_rate)
        return self._writer

    async def _work(self, work: Callable[[], bytes]) -> bytes:
        return await beside(lambda: self._alone(work), self._limiter) if self._limiter is not None else work()

    def _alone(self, work: Callable[[], bytes]) -> bytes:
        with self._working:
            try:
                return work()
            finally:
                if self._closed:
                    self._free()


async def beside(work: Callable[[], bytes], limiter: CapacityLimiter) -> bytes:
    """What some coding comes to, done in a thread. A cancelled scope waits for its end; asyncio's own way of
    cancelling a task, which uvicorn has for what is under way when it ends, does not."""
    return await to_thread.run_sync(work, limiter=limiter)
