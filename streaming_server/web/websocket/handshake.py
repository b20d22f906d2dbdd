"""How the clients of other protocols come in: checked before the handshake, refused in their own form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import orjson
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from streaming_server.errors import SpeechError
from streaming_server.web.auth import key_of
from streaming_server.web.responses import retry_after
from streaming_server.web.services import Parts, parts_of
from streaming_server.web.websocket.admission import GOODBYE_S
from streaming_server.web.websocket.connection import Connection


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as a protocol tells it before the handshake.

    status: of HTTP, where it is not the error's own. told: its message, where clients are to be let in to
    read it instead.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    told: bytes | None = None


class Visit(Protocol):
    """What is done with a client that was let in."""

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Door:
    """What is a protocol's own about letting a client in.

    key_of: where its clients put their key, besides our own places. begin: makes the session; raises what is
    wrong with the request. refusal: its form of an error. late_key: whether the key may come in the first
    message instead; the session is then given the place it waits in, to leave it for one where it is spoken
    to.
    """

    key_of: Callable[[HTTPConnection], str | None]
    begin: Callable[[HTTPConnection, Parts, Connection, ExitStack | None], Visit]
    refusal: Callable[[SpeechError], Refusal]
    late_key: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI endpoint."""
        request = HTTPConnection(scope)
        parts = parts_of(request)
        connection = Connection(receive, send)
        with ExitStack() as place:
            try:
                visit = self._let_in(request, parts, connection, place)
            except SpeechError as error:
                parts.metrics.refused.labels(error.code).inc()
                refusal = self.refusal(error)
                if refusal.told is not None:
                    await _send_away(connection, error, refusal.told)
                else:
                    await _refuse(send, error, refusal)
                return
            with parts.connections.holding(connection):
                await connection.serve(visit.run)

    def _let_in(
        self, request: HTTPConnection, parts: Parts, connection: Connection, place: ExitStack
    ) -> Visit:
        access, limits = parts.access, parts.limits
        access.check_origin(request)
        key = self.key_of(request) or key_of(request)
        waits = self.late_key and key is None and access.needs_key
        if not waits:
            access.check_key(key)
        visit = self.begin(request, parts, connection, place if waits else None)
        place.enter_context(limits.waiting() if waits else limits.speaking(parts.pool.has_room))
        return visit


async def _send_away(connection: Connection, error: SpeechError, told: bytes) -> None:
    """Let a client in to read why it may not stay."""
    with anyio.move_on_after(GOODBYE_S):
        try:
            if await connection.accept():
                await connection.send(told)
                await connection.close(error.close_code, error.message)
        except OSError:
            return


async def _refuse(send: Send, error: SpeechError, refusal: Refusal) -> None:
    """Answer the handshake with an HTTP error."""
    told = {"content-type": "application/json", **refusal.headers, **retry_after(error.http_status)}
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in told.items()]
    status = refusal.status or error.http_status
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": orjson.dumps(refusal.body)})
