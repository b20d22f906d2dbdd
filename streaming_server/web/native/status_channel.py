"""The status channel, `/ws/status`: the server's state on connecting and every second, changes at once."""

from __future__ import annotations

import anyio
import orjson
from starlette.requests import HTTPConnection

from streaming_server.errors import RateLimited
from streaming_server.web.native.session import error_message, key_in, refusal
from streaming_server.web.server_status import ServerStatus
from streaming_server.web.services import SpeechServices, operations
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Handshake
from streaming_server.web.websocket.message_rate import MessageRate
from streaming_server.web.websocket.registry import message_of


class StatusSession:
    """One watcher."""

    def __init__(self, services: SpeechServices, status: ServerStatus, connection: Connection) -> None:
        self._services = services
        self._status = status
        self._connection = connection

    async def run(self, first: str | bytes | None = None) -> None:
        """Send the state until the watcher leaves. What it sends is not read, but its rate is limited."""
        rate = MessageRate(self._services.settings.messages_per_second)
        with self._services.metrics.watchers.track_inprogress():
            self._connection.tasks.start_soon(self._status.tick)
            self._connection.tasks.start_soon(self._send_states)
            self._connection.tasks.start_soon(self._send_changes)
            try:
                while await self._connection.receive() is not None:
                    rate.count()
            except RateLimited as error:
                await self._connection.send_json(error_message(error.code, error.message, error.retryable))
                self._connection.end(error)

    async def _send_states(self) -> None:
        async for state in self._status.messages():
            await self._send(state)

    async def _send_changes(self) -> None:
        with self._services.pool.watch() as changes:
            async for change in changes:
                await self._send(orjson.dumps(message_of(change)).decode())

    async def _send(self, text: str) -> None:
        with anyio.fail_after(self._services.settings.send_timeout_s):
            await self._connection.send(text)


def _session(request: HTTPConnection, services: SpeechServices, connection: Connection) -> StatusSession:
    return StatusSession(services, operations(request).status, connection)


status_channel = Handshake(
    _session, refusal, late_key=key_in, place=lambda services: services.limits.watching(), counted=False
)
"""The ASGI endpoint of `/ws/status`."""
