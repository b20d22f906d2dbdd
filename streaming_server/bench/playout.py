"""Simulated playback that records underruns."""

from __future__ import annotations

import math


class Playout:
    """Plays a turn in real time from its first audio on. Times and durations are in seconds.

    Audio that arrives after all earlier audio was played causes a stall. It is counted from the moment
    playback ran dry or, if later, from the moment the text was complete on the wire: the language model's
    pauses are not the server's fault. Later audio is delayed by the stall, so each stall counts once.
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
        """The time at which playback runs dry; NaN before the first audio."""
        return self._dry_at

    def push(self, arrived: float, duration: float, text_at: float) -> None:
        """Add audio. text_at: when its text was complete on the wire."""
        if not self.started:
            self.first_at = self._dry_at = arrived
        self._count(arrived, text_at)
        self._dry_at = max(self._dry_at, arrived) + duration

    def cut(self, now: float, text_at: float) -> None:
        """End the measurement mid-turn; count a stall that is still going on."""
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
