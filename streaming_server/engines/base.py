"""The seam between the server and whatever makes the sound."""

from __future__ import annotations

from typing import Protocol

from streaming_server.types import EngineInfo, Event, MemoryReport, Utterance, Voice


class Engine(Protocol):
    """Turns utterances into PCM, a step at a time.

    An engine is driven: nothing happens between two calls of `step`. It is called from one thread, knows
    nothing of sockets or of sentences still to come, and may keep what it likes about a context until
    `release`. It raises nothing for a bad utterance, which ends in `Failed`; what it does raise ends the
    worker.
    """

    @property
    def info(self) -> EngineInfo: ...

    def prepare(self, voice: Voice) -> None:
        """A voice that will be spoken soon: prepare its voice sample. Returns at once."""

    def submit(self, utterance: Utterance) -> None:
        """Take an utterance in. Returns at once."""

    def cancel(self, utterance_id: int) -> None:
        """Drop an utterance. Idempotent, no event follows; the slot is free when the next `step` returns."""

    def taken(self, utterance_id: int, size: int) -> None:
        """So many bytes of an utterance's PCM, counted from its start, are on their way to the listener.

        An engine may let an utterance wait that is far ahead of this; it is not active meanwhile. Told only
        of long ones. Idempotent.
        """

    def release(self, context: int) -> None:
        """The context is over: forget what was kept for it. Idempotent."""

    def step(self) -> list[Event]:
        """Advance the active utterances once, in bounded time, and return what came out, in order."""

    @property
    def active(self) -> int:
        """Utterances that a step would bring on: taken in, and not finished, failed, cancelled or waiting."""

    def memory(self) -> MemoryReport: ...

    def relieve(self) -> None:
        """Give cached memory back to the device."""

    def close(self) -> None: ...
