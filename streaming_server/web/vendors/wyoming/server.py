"""The TCP server for the Wyoming protocol, used by Home Assistant."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

import anyio
import structlog
from anyio.abc import SocketAttribute, SocketStream, TaskStatus

from streaming_server.errors import SpeechError
from streaming_server.settings import Settings
from streaming_server.web.services import SpeechServices
from streaming_server.web.socket_options import KERNEL_GRACE_S, SEND_BUFFER, set_user_timeout
from streaming_server.web.vendors.wyoming.events import EventStream, encoded
from streaming_server.web.vendors.wyoming.session import WyomingSession
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.frames import FRAMES
from streaming_server.web.websocket.handshake import GOODBYE_S

PROBES = 3
"""Unanswered keepalive probes after which the kernel drops a client."""
ACCEPT_AGAIN_S = 0.1
"""Pause after a failed accept, for example when no file descriptors are left."""

log = structlog.stdlib.get_logger(__name__)


async def listen(
    services: SpeechServices, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Listen and serve clients until cancelled. Raises OSError if the port cannot be opened."""
    settings = services.settings
    host = settings.wyoming_host or settings.host
    listener = await anyio.create_tcp_listener(local_host=host, local_port=settings.wyoming_port or 0)
    async with listener, anyio.create_task_group() as group:
        for one in listener.listeners:
            _harden(one.extra(SocketAttribute.raw_socket), settings)
        port = listener.extra(SocketAttribute.local_port)
        log.info("listening for Wyoming", url=f"tcp://{f'[{host}]' if ':' in host else host}:{port}")
        task_status.started()
        for one in listener.listeners:
            group.start_soon(_accept, services, one)


def _harden(listener: socket.socket, settings: Settings) -> None:
    """Set options that accepted sockets inherit, so that vanished clients are detected while idle."""
    silence_s = max(1, round(settings.ping_s))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    set_user_timeout(listener, settings.stall_timeout_s + KERNEL_GRACE_S)
    options = {
        "TCP_KEEPIDLE": silence_s,
        "TCP_KEEPINTVL": max(1, silence_s // PROBES),
        "TCP_KEEPCNT": PROBES,
    }
    for name, value in options.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _accept(services: SpeechServices, listener: Any) -> None:
    async with anyio.create_task_group() as group:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                log.warning("a client could not be accepted", error=error.strerror)
                await anyio.sleep(ACCEPT_AGAIN_S)
                continue
            group.start_soon(_serve, services, stream)


async def _serve(services: SpeechServices, stream: SocketStream) -> None:
    """Serve one client; its failures do not affect others."""
    try:
        async with stream:
            await _serve_to_the_end(services, stream)
    except Exception as error:
        log.error("connection failed", errors=[type(error).__name__])
        log.debug("connection failed here", exc_info=error)


async def _serve_to_the_end(services: SpeechServices, stream: SocketStream) -> None:
    settings = services.settings
    events = EventStream(stream, settings.max_message_bytes, settings.header_timeout_s)
    connection = Connection(events.receive, events.send, [FRAMES])
    with ExitStack() as place:
        try:
            place.enter_context(services.limits.speaking_without_key(services.pool.has_room))
        except SpeechError as error:
            services.metrics.refused.labels(error.code).inc()
            await _refuse(events, error)
        else:
            place.enter_context(services.connections.holding(connection))
            await connection.serve(WyomingSession(services, connection).run)
    await events.linger()


async def _refuse(events: EventStream, error: SpeechError) -> None:
    message = encoded("error", {"text": error.message, "code": error.code})
    with anyio.move_on_after(GOODBYE_S):
        try:
            await events.send({"type": "websocket.send", "bytes": message})
        except OSError:
            return
