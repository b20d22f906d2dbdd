"""The seam between the server and whatever produces speech."""

from __future__ import annotations

from typing import Protocol

from streaming_server.types import EngineInfo, Event, MemoryReport, Utterance, Voice


class Engine(Protocol):
    """Turns utterances into PCM, one step at a time.

    The worker drives the engine: nothing happens between two calls of `step`. All calls come from one thread.
    An engine knows nothing of sockets or of text still to come. A bad utterance ends in `Failed`; an
    exception ends the worker.

    Subclasses implement `info`, `active`, `submit`, `cancel`, `step` and `memory`. The other methods do
    nothing by default.
    """

    @property
    def info(self) -> EngineInfo: ...

    @property
    def device_name(self) -> str:
        """The device the engine runs on, as the status pages show it."""
        return "CPU"

    @property
    def active(self) -> int:
        """The number of utterances that `step` would advance: submitted, not yet ended, and not paused."""

    def submit(self, utterance: Utterance) -> None:
        """Accept an utterance. Return at once."""

    def cancel(self, utterance_id: int) -> None:
        """Drop an utterance. Idempotent; no event follows. The slot is free when the next `step` returns."""

    def step(self) -> list[Event]:
        """Advance the active utterances once, in bounded time, and return their events in order."""

    def memory(self) -> MemoryReport:
        """Return the memory of the device the engine runs on."""

    def prepare(self, voice: Voice) -> None:
        """Get ready for a voice that may be used soon. Return at once."""
        return

    def taken(self, utterance_id: int, size: int) -> None:
        """Note that the first `size` bytes of an utterance's PCM are on their way to the listener.

        An engine may pause an utterance that is far ahead of its listener; a paused utterance is not active.
        Called only for long utterances. Idempotent.
        """
        return

    def release(self, context: int) -> None:
        """Forget whatever is kept for a context, which has ended. Idempotent."""
        return

    def relieve(self) -> None:
        """Return cached memory to the device."""
        return

    def close(self) -> None:
        """Release the engine's resources. Idempotent."""
        return
