"""How many connections may be open, and how many messages each may send."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from streaming_server.errors import Draining, Full, RateLimited
from streaming_server.settings import Settings

UNAUTHENTICATED_WEBSOCKETS = 64
"""Open websockets that have not sent their key yet. They are counted apart from the others."""


class Limits:
    """The places for connections. `draining` refuses new speech."""

    def __init__(self, settings: Settings) -> None:
        self._speaking = Places(settings.max_connections, "The server is at its limit of connections.")
        self._watching = Places(
            settings.max_status_connections, "The server is at its limit of status connections."
        )
        self._waiting = Places(
            UNAUTHENTICATED_WEBSOCKETS, "Too many connections are waiting to send their key."
        )
        self.draining = False

    @contextmanager
    def speaking(self, pool_has_room: bool) -> Iterator[None]:
        """Hold a place for a connection that speaks. Raise Draining or Full."""
        if self.draining:
            raise Draining("The server is shutting down.")
        with self._speaking.hold():
            if not pool_has_room:
                raise Full("No worker can take more speech at the moment.")
            yield

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hold a place for a status connection. Raise Full."""
        with self._watching.hold():
            yield

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Hold a place for a websocket that has not sent its key yet. Raise Full."""
        with self._waiting.hold():
            yield


class Places:
    """A counter with a limit."""

    def __init__(self, places: int, full: str) -> None:
        self._free = places
        self._full = full

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold one place. Raise Full, with the message given, when all are taken."""
        if not self._free:
            raise Full(self._full)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class MessageRate:
    """A token bucket: `per_second` messages sustained, twice that in a burst."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._tokens = 2 * per_second
        self._at = time.monotonic()

    def count(self) -> None:
        """Count one message. Raise RateLimited."""
        if self.early_s() > 0:
            self._tokens += 1
            raise RateLimited(f"Too many messages; the limit is {self._per_second:g} per second.")

    def early_s(self) -> float:
        """Count one message and return by how many seconds it came too early."""
        now = time.monotonic()
        self._tokens = min(2 * self._per_second, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)
