"""Who may send a file: a few at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from streaming_server.errors import Full

AT_ONCE = 8
MOST_WAITING = 32
WAIT_S = 5.0
"""How long an upload waits for one of the places, unread, before it is sent away."""


class Uploads:
    """Places for those that send files: each may fill as much of the disk as an upload may be long."""

    def __init__(self) -> None:
        self._places = anyio.CapacityLimiter(AT_ONCE)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the places. Raises Full when none becomes free for a while."""
        holder = object()
        full = Full("As many samples are being sent as can be taken at once: try again in a moment.")
        if self._places.statistics().tasks_waiting >= MOST_WAITING:
            raise full
        with anyio.move_on_after(WAIT_S) as wait:
            await self._places.acquire_on_behalf_of(holder)
        if wait.cancelled_caught:
            raise full
        try:
            yield
        finally:
            self._places.release_on_behalf_of(holder)
