"""The delay before a dead worker is started again."""

from __future__ import annotations

from collections import deque

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 30.0
BREAKER_DEATHS = 5
"""Deaths within BREAKER_WINDOW_S that open the breaker."""
BREAKER_WINDOW_S = 60.0


class RestartPolicy:
    """Exponential back-off from 1 to 30 s, with a breaker that opens at 5 deaths in 60 s.

    A life begins when the worker is ready: loading a model may take longer than any limit here.

    An open breaker allows one attempt every 60 s. An attempt that lives for 60 s closes it.
    """

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=BREAKER_DEATHS)
        self._in_a_row = 0  # Deaths since the last long life.
        self._broken = False

    @property
    def broken(self) -> bool:
        """True while the breaker is open."""
        return self._broken

    @property
    def start_failed(self) -> bool:
        """True after BREAKER_DEATHS deaths without a long life between them, however far apart."""
        return self._in_a_row >= BREAKER_DEATHS

    def died(self, now: float, lived_s: float) -> float:
        """Record a death at `now` (monotonic seconds); return the seconds to wait before the next start.

        lived_s: seconds since the worker was ready; 0 if it never was.
        """
        self._deaths.append(now)
        if lived_s >= BREAKER_WINDOW_S:
            self._in_a_row, self._broken = 0, False
        self._in_a_row += 1
        if len(self._deaths) == BREAKER_DEATHS and now - self._deaths[0] < BREAKER_WINDOW_S:
            self._broken = True
        if self._broken:
            return BREAKER_WINDOW_S
        return float(min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(self._in_a_row - 1, 10)))
