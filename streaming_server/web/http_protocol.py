"""uvicorn's HTTP protocol with header deadlines, HTTP/1.0 and tolerance of upgrade offers."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import httptools
import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from streaming_server.web.socket_options import limit_write_buffer, shorten_user_timeout, widen_send_buffer

MAX_HEAD_BYTES = 65536
"""Most bytes of a request's request line and headers."""
OFFER_HEADERS = frozenset({b"connection", b"upgrade", b"http2-settings"})
"""Headers removed from a request whose upgrade offer is ignored."""

ABORT = "http.response.abort"
"""A message that closes the connection before the end of the body, and the name of the ASGI extension."""

log = structlog.stdlib.get_logger(__name__)


class HttpConfig(uvicorn.Config):
    """uvicorn's configuration. header_timeout_s: how long a request's headers may take to arrive."""

    def __init__(self, app: Any, *, header_timeout_s: float, **options: Any) -> None:
        super().__init__(app, http=HttpProtocol, **options)
        self.header_timeout_s = header_timeout_s


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 and 1.0 with a deadline for headers.

    Ignores offers to upgrade to anything but a websocket (RFC 9110, section 7.8), which `curl --http2` makes
    with every request. llhttp would treat the bytes that follow as the other protocol.
    """

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        assert isinstance(config, HttpConfig)
        self._header_timeout_s = config.header_timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_body = False
        self._ignores_offer = False
        self._send_buffer_widened = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit_write_buffer(transport)
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.timeout_keep_alive_task is not None:  # uvicorn stops that timer at the first byte.
            self._start_deadline()
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._deadline is not None and not self._in_body:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()

    def _should_upgrade(self) -> bool:
        """Return whether the request opens a websocket: a GET of HTTP/1.1 (RFC 6455, 4.1)."""
        opens = self.parser.get_method() == b"GET" and self.parser.get_http_version() != "1.0"
        return opens and super()._should_upgrade()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
                if rest := data[upgrade.args[0] :]:
                    cast(asyncio.Protocol, self.transport.get_protocol()).data_received(rest)
            elif self.parser.get_method() == b"CONNECT":  # It always upgrades: a tunnel follows, not HTTP.
                self.send_400_response("CONNECT is not supported.")
            else:
                self._parse_without_offer(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            log.info("invalid HTTP request")
            self.send_400_response("Invalid HTTP request received.")

    def _parse_without_offer(self, rest: bytes) -> None:
        """Parse the headers again without the upgrade offer, then the bytes after them."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        head = [b"%s %s HTTP/%s" % (method, self.url, version)]
        head += [b"%s: %s" % header for header in self.headers if header[0] not in OFFER_HEADERS]
        self._ignores_offer = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed(b"\r\n".join([*head, b"", rest]))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start_deadline()

    def on_headers_complete(self) -> None:
        self._ignores_offer = self.parser.should_upgrade() and not self._should_upgrade()
        if not self._ignores_offer:
            self._stop_deadline()
            self._in_body = True
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._ignores_offer:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._ignores_offer:
            self._in_body = False
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not self._send_buffer_widened:
            self._send_buffer_widened = True
            widen_send_buffer(self.transport)
        if cycle.scope["http_version"] == "1.0":
            app = _until_close(app, cycle)
        super()._start_asgi_task(cycle, _abortable(app, cycle))

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._head_bytes = 0
            self._deadline = self.loop.call_later(self._header_timeout_s, self.transport.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _abortable(app: Any, cycle: RequestResponseCycle) -> Any:
    """Wrap an app so that it can abort its response, and so that it writes nothing to a closed connection.

    uvloop closes a connection that the client has reset, and raises RuntimeError for a write to it, before
    uvicorn learns of it.
    """

    async def abortable(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unless_closed(message: Message) -> None:
            if message["type"] != ABORT:
                if cycle.flow.write_paused:  # The client may leave while uvicorn waits for it to read.
                    await cycle.flow.drain()
                if not cycle.transport.is_closing():
                    await send(message)
                    return
            cycle.disconnected = True
            cycle.message_event.set()
            if not cycle.flow.write_paused:
                cycle.transport.close()
                return
            shorten_user_timeout(cycle.transport)  # Nobody reads what is buffered.
            cycle.transport.abort()

        extensions = {**scope.get("extensions", {}), ABORT: {}}
        await app({**scope, "extensions": extensions}, receive, send_unless_closed)

    return abortable


def _until_close(app: ASGIApp, cycle: RequestResponseCycle) -> ASGIApp:
    """Wrap an app for HTTP/1.0, which has no chunked encoding: closing the connection ends the body."""

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        unknown = False

        async def send_plain(message: Message) -> None:
            nonlocal unknown
            if message["type"] == "http.response.start":
                unknown = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
                if unknown:
                    cycle.chunked_encoding = False
                    cycle.expected_content_length = sys.maxsize
            elif unknown and not message.get("more_body", False):
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_plain)

    return plain
