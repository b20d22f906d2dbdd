"""uvicorn's websockets with several frames per write and limits on buffered input."""

from __future__ import annotations

from asyncio import BaseTransport
from collections.abc import Sequence
from typing import Any

import structlog
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import OPEN

from streaming_server.errors import RateLimited
from streaming_server.web.socket_options import limit_write_buffer, shorten_user_timeout
from streaming_server.web.websocket.frames import FRAMES
from streaming_server.web.websocket.message_rate import MessageRate

PINGS_PER_SECOND = 10.0
"""Sustained rate of pings and pongs allowed per client. Libraries send one in 20 seconds."""
MAX_FRAGMENTS = 1024
"""Most frames of one message. The limit on its size does not catch empty frames."""
MAX_EARLY_BYTES = 65536
"""Most bytes kept of what a client sends before its handshake is answered."""
LINGER_S = 1.0
"""Time for the client to read the close frame before the connection is aborted."""

log = structlog.stdlib.get_logger(__name__)


class SpeechSocket(WebSocketsSansIOProtocol):
    """Accepts FRAMES events besides ASGI's, and limits pings and fragments."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pings = MessageRate(PINGS_PER_SECOND)
        self._pending_pong = b""
        self._early = b""
        self._hung_up = False

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        limit_write_buffer(transport)

    async def run_asgi(self) -> None:
        """Run the application; then abort the connection if its client has stopped reading.

        A client that was hung up on has a moment to read first.
        """
        await super().run_asgi()
        shorten_user_timeout(self.transport)
        if not self.writable.is_set() and not self._hung_up:
            self.transport.abort()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.handshake_complete:  # Refused.
            return
        assert self.scope["extensions"] is not None
        self.scope["extensions"][FRAMES] = {}

    # Writing.

    async def send(self, message: Any) -> None:
        if self._hung_up:
            raise ClientDisconnected
        if message["type"] == FRAMES:
            await self._send_frames(message["frames"])
            return
        try:
            await super().send(message)
        except RuntimeError:
            if self._hung_up:  # While the message waited for room.
                raise ClientDisconnected from None
            raise
        if message["type"] == "websocket.accept":
            early, self._early = self._early, b""
            if early:
                self.data_received(early)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # Answered. uvicorn would log an error.
            status = self.initial_response[0] if self.initial_response else None
            log.info("websocket refused", path=self.scope["path"], status=status)

    async def _send_frames(self, frames: Sequence[bytes]) -> None:
        await self.writable.wait()
        if self.disconnected or self.close_sent:
            raise ClientDisconnected
        try:
            for frame in frames:
                self.conn.send_binary(frame)
        except InvalidState:
            raise ClientDisconnected from None
        self.transport.write(b"".join(self.conn.data_to_send()))

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pending_pong and not self.close_sent:
            self.transport.write(self._pending_pong)
        self._pending_pong = b""

    # Reading.

    def data_received(self, data: bytes) -> None:
        if self._hung_up:
            return
        if self.handshake_initiated and not self.handshake_complete:
            self._keep_early(data)
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def _keep_early(self, data: bytes) -> None:
        """Keep what a client sends before its handshake is answered, though it must not (RFC 6455, 4.1)."""
        self._early += data
        if len(self._early) > MAX_EARLY_BYTES:
            self.transport.abort()

    def handle_ping(self) -> None:
        """Answer a ping. While the client does not read, keep only the latest pong (RFC 6455, 5.5.3)."""
        pongs = self.conn.data_to_send()
        if not self._count_ping():
            return
        if self.writable.is_set():
            self.transport.write(b"".join(pongs))
        elif pongs:
            self._pending_pong = pongs[-1]

    def handle_pong(self, event: Frame) -> None:
        if self._count_ping():
            super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        else:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"A message has at most {MAX_FRAGMENTS} frames.")

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self._is_utf8():
            self._fail(CloseCode.INVALID_DATA, "Text messages are UTF-8.")
        super().send_receive_event_to_app()

    def _is_utf8(self) -> bool:
        try:
            b"".join(self.frames).decode()
        except UnicodeDecodeError:
            return False
        return True

    def _count_ping(self) -> bool:
        """Count a ping or pong. Return False, and close the connection, if there are too many."""
        if self._hung_up:
            return False
        try:
            self._pings.count()
        except RateLimited as error:
            self._fail(error.close_code, error.message)
            return False
        return True

    # Ending.

    def shutdown(self) -> None:
        """Close the connection as the server stops; one whose client has sent its close frame is closing."""
        if self.handshake_complete and not self.close_sent and self.conn.state is not OPEN:
            self.stop_keepalive()
            self.transport.close()
        else:
            super().shutdown()

    def keepalive_timeout(self) -> None:
        """Abort the connection: a client that does not answer pings will not read what is left to send."""
        shorten_user_timeout(self.transport)
        super().keepalive_timeout()
        self._hung_up = True
        self.transport.abort()

    def _fail(self, code: int, reason: str) -> None:
        if not self._hung_up:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Send the close frame and close the connection.

        First read and discard input for a moment: closing a socket with unread data resets it, and the client
        may lose the close frame. A client may also be behind with reading, as it is still sending.
        """
        self._hung_up = self.close_sent = True
        self.frames = []
        self.stop_keepalive()
        sent = self.conn.close_sent
        code, reason = (sent.code, sent.reason) if sent else (CloseCode.ABNORMAL_CLOSURE, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if not self.handshake_complete:
            self.transport.abort()
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
