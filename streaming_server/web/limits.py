"""Places: how many connections, request bodies and uploads there may be at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio

from streaming_server.errors import Draining, Full
from streaming_server.hosts import network_of
from streaming_server.settings import Settings

KEYLESS_SHARE = 0.5
"""Share of connections open to clients without a key, on a server that has keys."""
BODIES_AT_ONCE = 256
BODIES_PER_ADDRESS = 64
"""Request bodies that may be arriving at the same time. Each may take a megabyte of memory."""
BODY_WAIT_S = 5.0
"""Seconds a body may wait, unread, for one of those places."""
UPLOADS_AT_ONCE = 8
UPLOADS_WAITING = 32
"""Uploads that may wait for one of those places."""
UPLOAD_WAIT_S = 5.0
"""Seconds an upload may wait, unread, before it is refused."""


class Limits:
    """The places for connections. `draining` refuses new speech."""

    def __init__(self, settings: Settings) -> None:
        self._speaking = Places(settings.max_connections, "Too many connections; try again in a moment.")
        keyless = settings.max_connections
        if settings.api_keys:
            keyless = max(1, round(KEYLESS_SHARE * keyless))
        self._keyless = Places(keyless, "Too many connections without a key; try again in a moment.")
        self._watching = Places(
            settings.max_status_connections, "Too many status connections; try again in a moment."
        )
        self.draining = False

    @contextmanager
    def speaking(self, pool_has_room: bool) -> Iterator[None]:
        """Hold a place for a connection that speaks. Raise Draining or Full."""
        if self.draining:
            raise Draining("The server is shutting down.")
        with self._speaking.hold():
            if not pool_has_room:
                raise Full("All workers are busy; try again in a moment.")
            yield

    @contextmanager
    def speaking_without_key(self, pool_has_room: bool) -> Iterator[None]:
        """Hold a place for a connection whose protocol has no keys. Raise Draining or Full."""
        with self._keyless.hold(), self.speaking(pool_has_room):
            yield

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hold a place for a status connection. Raise Full."""
        with self._watching.hold():
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


class BodyPlaces:
    """Places for request bodies that are arriving, of which each address may hold a part only.

    The addresses of one IPv6 network count as one.
    """

    def __init__(self) -> None:
        self._all = anyio.CapacityLimiter(BODIES_AT_ONCE)
        self._of: dict[str, anyio.CapacityLimiter] = {}

    @asynccontextmanager
    async def hold(self, address: str) -> AsyncIterator[None]:
        """Hold one place. Raise Full when none becomes free for a while."""
        full = Full("Too many request bodies at once; try again in a moment.")
        client = network_of(address)
        own = self._of.setdefault(client, anyio.CapacityLimiter(BODIES_PER_ADDRESS))
        try:
            async with _holding(own, BODY_WAIT_S, full), _holding(self._all, BODY_WAIT_S, full):
                yield
        finally:
            if not own.borrowed_tokens and not own.statistics().tasks_waiting:
                self._of.pop(client, None)


class UploadPlaces:
    """Places for uploads: each may fill as much of the disk as the longest upload takes."""

    def __init__(self) -> None:
        self._places = anyio.CapacityLimiter(UPLOADS_AT_ONCE)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold one place. Raise Full when none becomes free for a while."""
        full = Full("Too many uploads at once; try again in a moment.")
        if self._places.statistics().tasks_waiting >= UPLOADS_WAITING:
            raise full
        async with _holding(self._places, UPLOAD_WAIT_S, full):
            yield


@asynccontextmanager
async def _holding(limiter: anyio.CapacityLimiter, wait_s: float, full: Full) -> AsyncIterator[None]:
    """Hold a token of the limiter. Raise `full` if none becomes free in time."""
    holder = object()
    with anyio.move_on_after(wait_s) as wait:
        await limiter.acquire_on_behalf_of(holder)
    if wait.cancelled_caught:
        raise full
    try:
        yield
    finally:
        limiter.release_on_behalf_of(holder)
