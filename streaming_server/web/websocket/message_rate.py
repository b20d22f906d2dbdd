"""Rate limit of messages."""

from __future__ import annotations

import time

from streaming_server.errors import RateLimited


class MessageRate:
    """A token bucket: `per_second` messages sustained, twice that in a burst."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._tokens = 2 * per_second
        self._at = time.monotonic()

    def count(self) -> None:
        """Count one message. Raise RateLimited."""
        if self.consume() > 0:
            self._tokens += 1
            raise RateLimited(f"Too many messages; the limit is {self._per_second:g} per second.")

    def consume(self) -> float:
        """Count one message and return by how many seconds it came too early."""
        now = time.monotonic()
        self._tokens = min(2 * self._per_second, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)
