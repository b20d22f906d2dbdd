"""Limits a context's lead over its listener."""

from __future__ import annotations

from math import inf

from streaming_server.audio.playback import PlaybackClock
from streaming_server.errors import TooSlow

SLICE_SHARE = 0.05
SHORTEST_SLICE_S = 0.1
LONGEST_SLICE_S = 0.5
"""Audio held back by the lead is handed out in slices of this share of the lead, within these bounds: each
slice costs a wake-up."""


class Pacing:
    """Decides when audio may be handed out, and how much.

    rate: samples per second as the listener hears them. max_lead_s: how far audio may run ahead of the
    listener. stall_s: how long a listener that reports its playback may stand still while audio waits for it.
    `now` is in seconds of one monotonic clock.
    """

    def __init__(self, rate: float, *, max_lead_s: float, stall_s: float) -> None:
        self._rate = rate
        self._max_lead_s = max_lead_s
        self._stall_s = stall_s
        self._slice_s = min(LONGEST_SLICE_S, max(SHORTEST_SLICE_S, SLICE_SHARE * max_lead_s))
        self._clock = PlaybackClock(rate)
        self._moved_at = 0.0

    def lead_s(self, now: float) -> float:
        """Return the seconds of audio that were handed out and not yet played."""
        return self._clock.lead_s(now)

    def played(self, now: float) -> int:
        """Return the number of samples that were played."""
        return self._clock.played(now)

    def report(self, samples: int, now: float) -> None:
        """Record the listener's report of its position."""
        if self._clock.report(samples):
            self._moved_at = now

    def wait_s(self, now: float) -> float:
        """Return the seconds until audio may be handed out, as far as is known; 0 for now.

        Raise TooSlow if the listener has stood still for too long.
        """
        wait_s = self._clock.wait_s(max(0.0, self._max_lead_s - self._slice_s), now)
        return self._wait_for_a_report(now) if wait_s == inf else wait_s

    def room(self, now: float) -> int:
        """Return how many samples may be handed out, given that `wait_s` is 0."""
        return int(max(self._slice_s, self._max_lead_s - self.lead_s(now)) * self._rate)

    def sent(self, samples: int, now: float) -> None:
        """Record that so many more samples were handed out."""
        self._clock.sent(samples, now)
        self._moved_at = now

    def _wait_for_a_report(self, now: float) -> float:
        left_s = self._moved_at + self._stall_s - now
        if left_s <= 0:
            raise TooSlow(f"Playback has not moved for {self._stall_s:g} seconds.")
        return left_s
