"""uvicorn, with what a speech server needs besides: draining, and sockets that give up on dead clients."""

from __future__ import annotations

import gc
import socket
import sys
from types import FrameType

import anyio
import structlog
import uvicorn

from streaming_server.engines.selection import SelectedEngine
from streaming_server.errors import EngineFailure
from streaming_server.settings import Settings
from streaming_server.web.app import create_app
from streaming_server.web.http_protocol import HttpConfig
from streaming_server.web.limits import UNAUTHENTICATED_WEBSOCKETS
from streaming_server.web.services import Parts
from streaming_server.web.websocket.protocol import SpeechSocket

SEND_BUFFER = 32 * 1024
"""Bytes the kernel holds for a client. Of its megabytes by default, a minute of speech counts as sent."""
UNACKNOWLEDGED_MS = 10_000
"""How long a client may leave sent bytes unacknowledged before the kernel drops it."""
OTHER_FILES = 256
"""Open files beside the websockets': listeners, pipes to workers, plain HTTP."""
LIFESPAN_S = 5.0
"""How long the parts may take to end when nothing is waited for any more."""
GARBAGE_THRESHOLDS = (5_000, 2, 2_000)
"""Objects made and kept between two searches of the youngest, and how many of these to one of the older."""

log = structlog.stdlib.get_logger(__name__)


class DrainingServer(uvicorn.Server):
    """On the first signal lets open contexts finish, on the second stops at once."""

    def __init__(self, config: uvicorn.Config, parts: Parts, url: str) -> None:
        super().__init__(config)
        self._parts = parts
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            log.info("listening", url=self._url, engine=self._parts.settings.engine)
            if warning := self._parts.engine.provider.warning:
                log.warning(warning)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.force_exit or self.should_exit
        self.should_exit = True
        self._parts.limits.draining = True
        if self.force_exit:
            self._parts.connections.dismiss()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        self._parts.job_queue.stop()  # What it speaks is interrupted, and can be tried again.
        patience_s = self._parts.settings.drain_timeout_s
        if open_contexts := len(self._parts.contexts):
            log.info("draining; again ends it at once", contexts=open_contexts, timeout_s=patience_s)
        if not self.force_exit:
            with anyio.move_on_after(patience_s):
                await self._parts.contexts.all_left()
            self._parts.connections.dismiss()
        await super().shutdown(None)
        if self.force_exit:  # uvicorn leaves this out for those in a hurry.
            with anyio.move_on_after(LIFESPAN_S):
                await self.lifespan.shutdown()


def listen(settings: Settings) -> socket.socket:
    """A listening socket whose options the accepted ones inherit. Raises EngineFailure."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        where = f"--host {settings.host} --port {settings.port}"
        raise EngineFailure(f"Cannot listen on {where}: {error.strerror}.") from error
    return listener


def allow_files(wanted: int) -> None:
    """Raise the limit of open files as far as this process may, and say so when that is too little."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (OSError, ValueError):  # Some systems set a limit of their own below an infinite hard one.
        log.debug("the limit of open files stays", limit=soft)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warning("too few open files allowed for that many connections", limit=soft, wanted=wanted)


def _rarely_search_for_garbage() -> None:
    """A search through all that hundreds of clients have open holds everyone up for a tenth of a second.

    What a turn leaves behind is freed without a search, so there is little to find.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def serve(settings: Settings, engine: SelectedEngine) -> int:
    """Serve until told to stop; the exit status. Raises EngineFailure."""
    listener = listen(settings)
    app = create_app(settings, engine)
    host, port = listener.getsockname()[:2]
    allow_files(
        settings.max_connections + settings.max_status_connections + UNAUTHENTICATED_WEBSOCKETS + OTHER_FILES
    )
    config = HttpConfig(
        app,
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
    server = DrainingServer(config, app.state.parts, f"http://{f'[{host}]' if ':' in host else host}:{port}")
    _rarely_search_for_garbage()
    server.run(sockets=[listener])
    parts: Parts = app.state.parts
    if parts.refusal is not None:
        raise EngineFailure(parts.refusal)
    return 0
