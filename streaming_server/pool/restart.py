"""When a worker that died may start again."""

from __future__ import annotations

from collections import deque

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
BREAKER_DEATHS = 5
BREAKER_WINDOW_S = 60.0


class RestartPolicy:
    """Backs off from 1 to 30 s. The breaker opens at 5 deaths in 60 s and then lets one try through."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=BREAKER_DEATHS)
        self._in_a_row = 0

    def died(self, now: float, lived_s: float) -> float:
        """Count a death at `now` (monotonic seconds); seconds to wait before the next start."""
        self._deaths.append(now)
        self._in_a_row = 1 if lived_s >= BREAKER_WINDOW_S else self._in_a_row + 1
        if self.broken(now):
            return BREAKER_WINDOW_S
        return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self._in_a_row - 1, 10)))

    def broken(self, now: float) -> bool:
        """Whether the breaker is open."""
        return len(self._deaths) == BREAKER_DEATHS and now - self._deaths[0] < BREAKER_WINDOW_S
