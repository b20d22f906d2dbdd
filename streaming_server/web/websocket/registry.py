"""The open websockets of every door."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from streaming_server.errors import Draining, TooSlow
from streaming_server.metrics import Metrics
from streaming_server.web.websocket.connection import Connection

WATCH_EVERY_S = 0.5


class Connections:
    """Count open websockets and end those that stall or must leave.

    Status channels are kept apart: they are not counted.
    """

    def __init__(self, send_timeout_s: float, metrics: Metrics) -> None:
        self._open: set[Connection] = set()
        self._watchers: set[Connection] = set()
        self._one_left = anyio.Event()
        self._leaving = False
        self._send_timeout_s = send_timeout_s
        self._metrics = metrics

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def holding(self, connection: Connection) -> Iterator[None]:
        """Register a connection that speaks while it is open."""
        self._open.add(connection)
        if self._leaving:
            connection.end_when_idle(_restarting())
        self._metrics.connections.inc()
        try:
            yield
        finally:
            self._open.discard(connection)
            self._metrics.connections.dec()
            self._notify_left()

    @contextmanager
    def holding_watcher(self, connection: Connection) -> Iterator[None]:
        """Register a status channel while it is open."""
        self._watchers.add(connection)
        if self._leaving:
            connection.end(_restarting())
        try:
            yield
        finally:
            self._watchers.discard(connection)
            self._notify_left()

    async def all_left(self) -> None:
        """Wait until no websocket is open."""
        while self._open or self._watchers:
            await self._one_left.wait()

    def _notify_left(self) -> None:
        self._one_left.set()
        self._one_left = anyio.Event()

    async def watch(self) -> None:
        """End connections whose client has stopped reading, until cancelled."""
        while True:
            await anyio.sleep(WATCH_EVERY_S)
            now = time.monotonic()
            for connection in [*self._open, *self._watchers]:
                if connection.is_stalled(self._send_timeout_s, now):
                    connection.end(TooSlow("The client has stopped reading."))

    def dismiss_idle(self) -> None:
        """Close every connection, now and later, because the server restarts, but let its contexts end."""
        self._leaving = True
        for connection in list(self._open):
            connection.end_when_idle(_restarting())
        for watcher in list(self._watchers):
            watcher.end(_restarting())

    def dismiss(self) -> None:
        """Close every connection at once because the server restarts."""
        for connection in [*self._open, *self._watchers]:
            connection.end(_restarting())


def _restarting() -> Draining:
    return Draining("The server is restarting; connect again.")
