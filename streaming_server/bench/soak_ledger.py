"""Counts of turns and errors in a soak, by period."""

from __future__ import annotations

import math
import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from streaming_server.percentiles import Percentiles, percentiles

PERIODS = 10
"""Periods of a run, each of SHORTEST_PERIOD_S to LONGEST_PERIOD_S."""
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 10.0, 60.0
EXCUSED_S = 10.0
"""Seconds after the death of a worker in which its turns may end with EXCUSED."""
EXCUSED = "worker_lost"

Fate = Literal["whole", "cancelled", "disconnected"]
"""The ways a turn ends: by itself, cut short by a cancel, or by a disconnect."""


@dataclass(frozen=True, slots=True)
class ResourceReading:
    """Resources of the server's processes. tasks: on its event loop."""

    mib: float
    files: int
    threads: int
    tasks: int


@dataclass(slots=True)
class Period:
    """Turns and readings of one part of the run. errors, excused: counts by code."""

    first_audio_s: list[float] = field(default_factory=list)
    turns: Counter[Fate] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    readings: list[ResourceReading] = field(default_factory=list)

    @property
    def first_audio_ms(self) -> Percentiles | None:
        return percentiles(1000 * seconds for seconds in self.first_audio_s)

    def median(self, of: Callable[[ResourceReading], float]) -> float:
        """Return the median of the readings, as sessions come and go and workers start."""
        return statistics.median(map(of, self.readings)) if self.readings else math.nan


class SoakLedger:
    """Sorts what happens into periods, from `begin` on; what comes before is the ramp."""

    def __init__(self, seconds: float) -> None:
        self.ramp = Period()
        self.periods: list[Period] = []
        self.killed = 0
        self._seconds = seconds
        self._began_at = math.inf
        self._killed_at = -math.inf

    def begin(self) -> None:
        period_s = min(LONGEST_PERIOD_S, max(SHORTEST_PERIOD_S, self._seconds / PERIODS))
        self.periods = [Period() for _ in range(max(1, round(self._seconds / period_s)))]
        self._began_at = time.monotonic()

    @property
    def period_s(self) -> float:
        return self._seconds / len(self.periods)

    @property
    def passed_s(self) -> float:
        """Seconds since the beginning; negative before it."""
        return time.monotonic() - self._began_at

    @property
    def now(self) -> Period:
        if self.passed_s < 0:
            return self.ramp
        share = self.passed_s / self._seconds
        return self.periods[min(len(self.periods) - 1, int(share * len(self.periods)))]

    def turn(self, fate: Fate, first_audio_s: float) -> None:
        self.now.turns[fate] += 1
        if not math.isnan(first_audio_s):
            self.now.first_audio_s.append(first_audio_s)

    def error(self, code: str) -> None:
        excused = code == EXCUSED and time.monotonic() - self._killed_at < EXCUSED_S
        (self.now.excused if excused else self.now.errors)[code] += 1

    def kill(self, pid: int) -> None:
        """Kill a worker and note it."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed += 1
            self._killed_at = time.monotonic()
