"""uvicorn with draining, and with sockets that give up on dead clients."""

from __future__ import annotations

import gc
import resource
import signal
import socket
from types import FrameType

import anyio
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streaming_server.engines.selection import SelectedEngine
from streaming_server.errors import EngineFailure
from streaming_server.settings import Settings
from streaming_server.web.app import create_app
from streaming_server.web.http_protocol import HttpConfig
from streaming_server.web.services import services_of
from streaming_server.web.socket_options import KERNEL_GRACE_S, SEND_BUFFER, set_user_timeout
from streaming_server.web.websocket.protocol import SpeechSocket
from streaming_server.web.websocket.waiting_room import PLACES as WAITING_PLACES

OTHER_FILES = 256
"""Open files besides websockets: listeners, pipes to workers, plain HTTP."""
LIFESPAN_S = 5.0
"""Seconds the lifespan may take to end after a second signal."""
GARBAGE_THRESHOLDS = (1_000, 2, 10_000)
"""Thresholds of the garbage collector's generations; with 5,000 a young collection takes up to 10 ms."""

log = structlog.stdlib.get_logger(__name__)


class DrainingServer(uvicorn.Server):
    """Lets open contexts finish on the first signal; stops at once on the second.

    warning: about the engine, logged once the server listens. failure: why the application failed, if it did.
    """

    def __init__(
        self, config: uvicorn.Config, app: Starlette, settings: Settings, url: str, warning: str | None
    ) -> None:
        super().__init__(config)
        self.failure: str | None = None
        self._app = app
        self._settings = settings
        self._url = url
        self._warning = warning

    def fail(self, reason: str) -> None:
        """Stop because the application failed."""
        self.failure = self.failure or reason
        self.handle_exit(signal.SIGTERM, None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn exits if the lifespan fails.
            if self.failure is None:
                raise
            raise EngineFailure(self.failure) from None
        if not self.should_exit:
            log.info("listening", url=self._url, engine=self._settings.engine)
            if warning := self._warning:
                log.warning(warning)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.force_exit or self.should_exit
        self.should_exit = True
        if (services := services_of(self._app)) is not None:
            if self.force_exit:
                services.drain.cut()
            else:
                services.drain.refuse()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        if (services := services_of(self._app)) is not None:
            if self.force_exit:
                services.drain.cut()
            else:
                log.info("stopping; signal again to stop at once")
                await services.drain.run(self._settings.drain_timeout_s)
        await super().shutdown(None)
        if self.force_exit:  # uvicorn skips the lifespan then.
            with anyio.move_on_after(LIFESPAN_S):
                await self.lifespan.shutdown()


def listen(settings: Settings) -> socket.socket:
    """Return a listening socket; accepted ones inherit its options. Raise EngineFailure."""
    listener = _unbound(settings) if settings.fd is None else _inherited(settings.fd, settings.host)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        set_user_timeout(listener, settings.stall_timeout_s + KERNEL_GRACE_S)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if settings.fd is None:
            listener.bind((settings.host, settings.port))
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        where = (
            f"--host {settings.host} --port {settings.port}" if settings.fd is None else f"--fd {settings.fd}"
        )
        raise EngineFailure(f"Cannot listen on {where}: {error.strerror}.") from error
    return listener


def _unbound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def _inherited(fd: int, host: str) -> socket.socket:
    """Return the socket of this file descriptor, which must be bound to the host that was checked."""
    try:
        listener = socket.socket(fileno=fd)
    except OSError as error:
        raise EngineFailure(f"--fd {fd} is not a TCP socket.") from error
    if listener.family not in (socket.AF_INET, socket.AF_INET6) or listener.type != socket.SOCK_STREAM:
        listener.close()
        raise EngineFailure(f"--fd {fd} is not a TCP socket.")
    listener.set_inheritable(False)
    address = str(listener.getsockname()[0])
    if address != host:
        listener.close()
        raise EngineFailure(f"--fd {fd} is bound to {address}; set --host to that.")
    return listener


def allow_files(wanted: int) -> None:
    """Raise the limit of open files to the hard limit; warn if that is less than `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (OSError, ValueError):  # Some systems cap it below an infinite hard limit.
        log.debug("limit of open files unchanged", limit=soft)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warning("limit of open files too low for --max-connections", limit=soft, wanted=wanted)


def _collect_garbage_rarely() -> None:
    """Make full collections rare: with hundreds of clients one stops the event loop for 0.1 s.

    Contexts leave no reference cycles behind, so there is little to collect.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def serve(settings: Settings, engine: SelectedEngine) -> int:
    """Serve until a termination signal and return the exit status. Raise EngineFailure."""
    server: DrainingServer
    listener = listen(settings)
    app = create_app(settings, engine, on_failure=lambda reason: server.fail(reason))
    host, port = listener.getsockname()[:2]
    allow_files(settings.max_connections + settings.max_status_connections + WAITING_PLACES + OTHER_FILES)
    config = HttpConfig(
        _without_tracebacks(app),
        ws=SpeechSocket,
        header_timeout_s=settings.header_timeout_s,
        log_config=None,
        access_log=False,
        server_header=False,
        ws_max_size=settings.max_message_bytes,
        ws_ping_interval=settings.ping_s,
        ws_ping_timeout=settings.ping_s,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=20,
    )
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    server = DrainingServer(config, app, settings, url, engine.provider.warning)
    _collect_garbage_rarely()
    server.run(sockets=[listener])
    if server.failure is not None:
        raise EngineFailure(server.failure)
    return 0


def _without_tracebacks(app: ASGIApp) -> ASGIApp:
    """Wrap an application that reports its failure itself, so that uvicorn does not log its traceback."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without(message: Message) -> None:
            if message["type"] in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
                message = {"type": message["type"]}
            await send(message)

        await app(scope, receive, send_without if scope["type"] == "lifespan" else send)

    return wrapped
