"""Times of a context, from its first complete sentence to its audio."""

from __future__ import annotations

from streaming_server.context.outputs import ContextMetrics


class Timing:
    """Collects the times of one context, in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._complete_at: float | None = None
        self._first_event_at: float | None = None
        self._first_audio_at: float | None = None
        self._busy_s = 0.0

    def complete(self, now: float) -> None:
        """Record that a sentence is complete; only the first counts."""
        if self._complete_at is None:
            self._complete_at = now

    def event(self, now: float) -> None:
        """Record that the engine returned something; only the first counts."""
        if self._first_event_at is None:
            self._first_event_at = now

    def audio(self, now: float) -> float | None:
        """Record that audio was handed out. Return the seconds to first audio if it was the first."""
        if self._first_audio_at is not None:
            return None
        self._first_audio_at = now
        return now - (now if self._complete_at is None else self._complete_at)

    def worked(self, busy_s: float) -> None:
        """Add time that the engine spent."""
        self._busy_s += busy_s

    def metrics(self, *, engine_ms: float, audio_ms: float, characters: int) -> ContextMetrics:
        """Return the measurements. engine_ms: audio at the engine's tempo; audio_ms: at the listener's."""
        began = self._complete_at or 0.0
        synthesis_ms = self._busy_s * 1000
        return ContextMetrics(
            queue_ms=round(1000 * ((self._first_event_at or began) - began), 2),
            first_audio_ms=round(1000 * ((self._first_audio_at or began) - began), 2),
            audio_ms=audio_ms,
            synthesis_ms=round(synthesis_ms, 2),
            realtime_factor=round(engine_ms / synthesis_ms, 2) if synthesis_ms else 0.0,
            characters=characters,
        )
