"""A listener's loudspeaker, simulated: when does it run dry?"""

from __future__ import annotations

import math


class Playout:
    """Plays a turn in real time from the moment its first audio arrives. Times and durations in seconds.

    Whenever audio arrives after what came before it has been played, the wait is a stall, counted from the
    moment the loudspeaker fell silent, or, if that is later, from the moment the text to be spoken was
    complete on the wire: a pause of the language model is not the server's. The rest is played late by as
    much, so that one stall is counted once.
    """

    __slots__ = ("_dry_at", "first_at", "stalls")

    def __init__(self) -> None:
        self.first_at = math.nan
        self.stalls: list[float] = []
        self._dry_at = math.nan

    @property
    def started(self) -> bool:
        return not math.isnan(self.first_at)

    @property
    def dry_at(self) -> float:
        """When all that has arrived will have been played; NaN before the first audio."""
        return self._dry_at

    def push(self, arrived: float, duration: float, text_at: float) -> None:
        """Audio of that duration has arrived; its text was complete on the wire at `text_at`."""
        if not self.started:
            self.first_at = self._dry_at = arrived
        self._count(arrived, text_at)
        self._dry_at = max(self._dry_at, arrived) + duration

    def cut(self, now: float, text_at: float) -> None:
        """Stop watching in mid-turn: silence that lasts until now counts like one that has ended."""
        if self.started:
            self._count(now, text_at)

    @property
    def worst(self) -> float:
        return max(self.stalls, default=0.0)

    @property
    def total(self) -> float:
        return sum(self.stalls)

    def _count(self, until: float, text_at: float) -> None:
        stall = until - max(self._dry_at, text_at)
        if stall > 0:
            self.stalls.append(stall)
