"""The handshake of every websocket: check origin and key, take a place, run the session; or refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import anyio
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from streaming_server.errors import SpeechError, Unauthorized
from streaming_server.hosts import network_of
from streaming_server.web.client_left import ClientLeft
from streaming_server.web.keyed import check_key
from streaming_server.web.keys import key_of
from streaming_server.web.responses import retry_after
from streaming_server.web.services import SpeechServices, speech_services
from streaming_server.web.websocket.answer import answer_handshake
from streaming_server.web.websocket.connection import Connection

GOODBYE_S = 1.0
"""Seconds for a refused client to read the reason."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error in a protocol's own form.

    body: of the HTTP answer. status: of the HTTP answer, if it differs from the error's own. message: sent
    once a client was accepted. accepts: whether the websocket is accepted to send it.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    message: str | bytes | None = None
    accepts: bool = False


class Runnable(Protocol):
    """Serves a client that was let in, to its end."""

    async def run(self, first: str | bytes | None = None) -> None: ...


def no_subprotocol(request: HTTPConnection) -> str | None:
    return None


def place_to_speak(services: SpeechServices) -> AbstractContextManager[None]:
    return services.limits.speaking(services.pool.has_room)


@dataclass(frozen=True, slots=True)
class Handshake:
    """Check a client, accept its websocket and run its session. Instances are ASGI endpoints.

    Refuse with an HTTP error wherever possible. Without a key, nothing about voices is revealed.

    session: makes the session; raises what is wrong with the request. refusal: an error in the protocol's
    form. key: finds the key in the request, besides the server's own places for it. late_key: finds the key
    in the first message, for browsers, which cannot send headers; None if the protocol has no such message.
    handles_first: whether that message is handled like any other, too. subprotocol: the one to accept. place:
    what the client takes while it is served. speaks: whether it counts among the connections; a status
    channel does not.
    """

    session: Callable[[HTTPConnection, SpeechServices, Connection], Runnable]
    refusal: Callable[[SpeechError], Refusal]
    key: Callable[[HTTPConnection], str | None] = key_of
    late_key: Callable[[str | bytes], str | None] | None = None
    handles_first: bool = False
    subprotocol: Callable[[HTTPConnection], str | None] = no_subprotocol
    place: Callable[[SpeechServices], AbstractContextManager[None]] = place_to_speak
    speaks: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HTTPConnection(scope)
        services = speech_services(request)
        connection = Connection(receive, send, scope.get("extensions") or ())
        with ExitStack() as place:
            try:
                waits = await self._check(request, services)
                place.enter_context(self.place(services))
                session = None if waits else self.session(request, services, connection)
                if waits:
                    place.close()  # There was one at least; it is not held while the key is awaited.
            except SpeechError as error:
                services.metrics.refused.labels(error.code).inc()
                await self._refuse(connection, scope, send, error)
                return
            if not await connection.accept(self.subprotocol(request)):
                return
            first = None
            if session is None:
                try:
                    first = await self._receive_key(request, services, connection)
                    if first is None:
                        return
                    place.enter_context(self.place(services))
                    session = self.session(request, services, connection)
                except SpeechError as error:
                    services.metrics.refused.labels(error.code).inc()
                    await _dismiss(connection, error, self.refusal(error))
                    return
            handled = first if self.handles_first else None
            connections = services.connections
            held = connections.holding if self.speaks else connections.holding_watcher
            place.enter_context(held(connection))
            await connection.serve(partial(session.run, handled))

    async def _check(self, request: HTTPConnection, services: SpeechServices) -> bool:
        """Check origin and key. Return whether the key is still to come.

        Raise BadMessage, Forbidden, Unauthorized.
        """
        services.origins.check(request)
        key = self.key(request) or key_of(request)
        if key is None and services.keys.needed and self.late_key is not None:
            return True
        await check_key(request, key)
        return False

    async def _receive_key(
        self, request: HTTPConnection, services: SpeechServices, connection: Connection
    ) -> str | bytes | None:
        """Wait for the message with the key. Return it, or None if the client left. Raise Unauthorized."""
        assert self.late_key is not None
        address = network_of(request.client.host) if request.client is not None else ""
        with services.waiting_room.place(address, services.settings.auth_timeout_s):
            if (raw := await connection.receive()) is None:
                return None
            try:
                await check_key(request, _late_key(self.late_key, raw))
            except Unauthorized:
                raise Unauthorized("The first message must carry a valid key.") from None
            return raw
        raise Unauthorized("No key came in time.")

    async def _refuse(self, connection: Connection, scope: Scope, send: Send, error: SpeechError) -> None:
        """Answer the handshake with an HTTP error, or accept the client to tell it."""
        refusal = self.refusal(error)
        if refusal.accepts:
            with anyio.move_on_after(GOODBYE_S):
                if await connection.accept():
                    await _dismiss(connection, error, refusal)
            return
        headers = {**refusal.headers, **retry_after(error.http_status)}
        status = refusal.status or error.http_status
        await answer_handshake(scope, send, status, refusal.body, headers.items())


def _late_key(find: Callable[[str | bytes], str | None], raw: str | bytes) -> str:
    """Return the key in a first message; a message without one counts as a wrong key."""
    try:
        return find(raw) or ""
    except SpeechError:
        return ""


async def _dismiss(connection: Connection, error: SpeechError, refusal: Refusal) -> None:
    """Tell an accepted client the error and close. A client that does not read is just left."""
    with anyio.move_on_after(GOODBYE_S), suppress(ClientLeft):
        if refusal.message is not None:
            await connection.send(refusal.message)
        await connection.close(error.close_code, error.message)
