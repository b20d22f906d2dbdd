"""All open native websockets: counted, watched, told things, drained."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio

from streaming_server.errors import Draining, TooSlow
from streaming_server.pool.pool import Pool, PressureChanged

if TYPE_CHECKING:
    from streaming_server.web.speak import Session

WATCH_EVERY_S = 0.5


class Sessions:
    """The registry of sessions, and what is done to all of them."""

    def __init__(self, send_timeout_s: float) -> None:
        self._open: set[Session] = set()
        self._send_timeout_s = send_timeout_s

    def __len__(self) -> int:
        return len(self._open)

    def add(self, session: Session) -> None:
        self._open.add(session)

    def remove(self, session: Session) -> None:
        self._open.discard(session)

    async def watch(self) -> None:
        """End sessions whose client has stopped reading."""
        while True:
            await anyio.sleep(WATCH_EVERY_S)
            now = time.monotonic()
            for session in list(self._open):
                if session.unread_for(now) > self._send_timeout_s:
                    session.abort(TooSlow("The client does not read."))

    async def announce(self, pool: Pool) -> None:
        """Tell every client when the memory level of a device changes."""
        with pool.watch() as changes:
            async for change in changes:
                if isinstance(change, PressureChanged):
                    self._tell(
                        {
                            "type": "memory_pressure",
                            "device": change.device,
                            "level": change.level,
                            "pressure": change.pressure,
                        }
                    )

    def dismiss(self) -> None:
        """Close every session at once: the server restarts."""
        for session in list(self._open):
            session.abort(Draining("The server restarts; connect again."))

    def _tell(self, message: dict[str, Any]) -> None:
        for session in list(self._open):
            session.tell(message)
