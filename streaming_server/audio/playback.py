"""Estimated playback position of a listener."""

from __future__ import annotations

from math import inf


class PlaybackClock:
    """Estimates the listener's position in a context, in samples, from what was sent and what it reports.

    Until the first report, the listener is taken to play in real time from the moment the first audio is
    sent, to stop when it runs dry, and to continue at once when more is sent. After that only its reports
    count. The position never exceeds what was sent. `now` is in seconds of one monotonic clock.
    """

    def __init__(self, sample_rate: float) -> None:
        self._sample_rate = sample_rate
        self._sent = 0
        self._anchor_sample = 0
        self._anchor_s = 0.0
        self._reported: int | None = None

    def sent(self, samples: int, now: float) -> None:
        """Record that more samples were sent."""
        if self.played(now) == self._sent:
            self._anchor_sample, self._anchor_s = self._sent, now
        self._sent += samples

    def played(self, now: float) -> int:
        """Return the number of samples that were played."""
        if self._reported is not None:
            return self._reported
        elapsed = int((now - self._anchor_s) * self._sample_rate)
        return min(self._sent, self._anchor_sample + max(0, elapsed))

    def report(self, samples: int) -> bool:
        """Record the listener's report of its position; return whether the position changed.

        The first report may correct the estimate either way. Later ones that go back are ignored, and none
        exceeds what was sent.
        """
        before = self._reported
        self._reported = min(max(samples, before or 0), self._sent)
        return self._reported != before

    def lead_s(self, now: float) -> float:
        """Return the seconds of audio that were sent and not yet played."""
        return (self._sent - self.played(now)) / self._sample_rate

    def wait_s(self, max_lead_s: float, now: float) -> float:
        """Return the seconds until the lead is down to `max_lead_s`; inf if that takes a report."""
        excess_s = self.lead_s(now) - max_lead_s
        if excess_s <= 0:
            return 0.0
        return excess_s if self._reported is None else inf
