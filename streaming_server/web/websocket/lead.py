"""The lead of a client: audio that it was sent and has not played."""

from __future__ import annotations


class Lead:
    """Estimate until when a client plays what it was sent, one context after the other.

    `now` is in seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def until(self) -> float:
        """The time at which the client will have played everything."""
        return self._until

    def sent(self, seconds: float, now: float) -> None:
        """Record audio that is sent."""
        self._until = max(self._until, now) + seconds

    def dropped(self, seconds: float, now: float) -> None:
        """Record audio that was sent and will not be played, as its context was cancelled."""
        self._until = max(min(self._until, now), self._until - max(0.0, seconds))
