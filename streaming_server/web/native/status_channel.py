"""The status channel, `/ws/status`: the server's state on connecting and every second, changes at once.

A watcher may ask for the past with `{"type": "history", …}`. Other messages are not read.
"""

from __future__ import annotations

import anyio
import orjson
from starlette.requests import HTTPConnection

from streaming_server.errors import BadMessage, BadValue, RateLimited
from streaming_server.web.native.pool_changes import message_of
from streaming_server.web.native.session import error_message, key_in, refusal
from streaming_server.web.services import SpeechServices, operations
from streaming_server.web.status.history_query import HistoryQuery
from streaming_server.web.status.history_recorder import HistoryRecorder
from streaming_server.web.status.server_status import ServerStatus
from streaming_server.web.validation import validated
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.decoding import decode_object
from streaming_server.web.websocket.handshake import Handshake
from streaming_server.web.websocket.message_rate import MessageRate

HISTORIES_PER_SECOND = 5.0
"""Rate at which a watcher is sent the history; one takes up to a millisecond of the event loop."""


class StatusSession:
    """One watcher."""

    def __init__(
        self,
        services: SpeechServices,
        status: ServerStatus,
        history: HistoryRecorder,
        connection: Connection,
    ) -> None:
        self._services = services
        self._status = status
        self._history = history
        self._connection = connection
        self._history_rate = MessageRate(HISTORIES_PER_SECOND)

    async def run(self, first: str | bytes | None = None) -> None:
        """Send the state until the watcher leaves, and the history when asked."""
        rate = MessageRate(self._services.settings.messages_per_second)
        with self._services.metrics.watchers.track_inprogress():
            self._connection.tasks.start_soon(self._status.tick)
            self._connection.tasks.start_soon(self._send_states)
            self._connection.tasks.start_soon(self._send_changes)
            try:
                while (raw := await self._connection.receive()) is not None:
                    rate.count()
                    await self._answer(raw)
            except RateLimited as error:
                await self._connection.send_json(error_message(error.code, error.message, error.retryable))
                self._connection.end(error)

    async def _answer(self, raw: str | bytes) -> None:
        """Send the history if the message asks for it."""
        try:
            if (query := _history_query(raw)) is not None:
                await anyio.sleep(self._history_rate.consume())
                history = self._history.history(query.minutes, query.since)
                await self._connection.send(orjson.dumps({"type": "history", **history}).decode())
        except BadValue as error:
            await self._connection.send_json(error_message(error.code, error.message, error.retryable))

    async def _send_states(self) -> None:
        async for state in self._status.messages():
            await self._connection.send(state)

    async def _send_changes(self) -> None:
        with self._services.pool.watch() as changes:
            async for change in changes:
                await self._connection.send(orjson.dumps(message_of(change)).decode())


def _history_query(raw: str | bytes) -> HistoryQuery | None:
    """Return the query in a message; None for messages of other types. Raise BadValue if it is invalid."""
    try:
        message = decode_object(raw)
    except BadMessage:
        return None
    if message.pop("type", None) != "history":
        return None
    return validated(HistoryQuery, message)


def _session(request: HTTPConnection, services: SpeechServices, connection: Connection) -> StatusSession:
    now = operations(request)
    return StatusSession(services, now.status, now.status_history, connection)


status_channel = Handshake(
    _session, refusal, late_key=key_in, place=lambda services: services.limits.watching(), speaks=False
)
"""The ASGI endpoint of `/ws/status`."""
