"""Encoding in a thread, while the event loop runs."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from anyio import CapacityLimiter, to_thread

from streaming_server.audio.body import AudioBody, open_body
from streaming_server.audio.formats import AudioFormat


class Coder:
    """Encodes an `AudioBody` in a thread. Not for two tasks at once.

    Three seconds of speech take some 20 ms to encode as mp3, during which the event loop would serve no other
    listener.

    limiter: bounds how many encode at once. The first push, or the finish, raises as `open_body` does.
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
        self._limiter = limiter
        self._body: AudioBody | None = None
        self._working = Lock()
        self._closed = False

    async def push(self, pcm: bytes) -> bytes:
        """Return what of the body this piece of audio completes."""
        return await self._work(lambda: self._opened().push(pcm))

    async def finish(self) -> bytes:
        """Return the rest of the body."""
        return await self._work(lambda: self._opened().finish())

    def final_head(self) -> bytes:
        """Return the head with the true length, after `finish`."""
        return self._opened().final_head()

    def close(self) -> None:
        """Free the codec, or leave that to a thread that still encodes for a cancelled task. Idempotent."""
        self._closed = True
        if self._working.acquire(blocking=False):
            try:
                if self._body is not None:
                    self._body.close()
            finally:
                self._working.release()

    def _opened(self) -> AudioBody:
        if self._body is None:
            self._body = open_body(*self._form)
        return self._body

    async def _work(self, work: Callable[[], bytes]) -> bytes:
        return await in_thread(lambda: self._locked(work), self._limiter)

    def _locked(self, work: Callable[[], bytes]) -> bytes:
        try:
            with self._working:
                return work()
        finally:
            if self._closed:  # Looked at without the lock: `close` may have come while this thread held it.
                self.close()


async def in_thread(work: Callable[[], bytes], limiter: CapacityLimiter) -> bytes:
    """Run an encoder in a thread and return its result.

    A cancelled anyio scope waits for the thread; a task that asyncio cancels, as uvicorn does on shutdown,
    does not.
    """
    return await to_thread.run_sync(work, limiter=limiter)
