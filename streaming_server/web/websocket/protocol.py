"""uvicorn's protocols, able to send several frames with one write, and to bear clients that mean no good."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame

from streaming_server.errors import RateLimited
from streaming_server.web.limits import MessageRate

FRAMES = "speech.frames"
"""Type of an event that carries `frames`: binary messages to be sent in order, in one write.

A piece of speech is up to ten messages; written one by one, each costs a system call, which together cost
more than all the rest that is done for them.
"""

PINGS_PER_SECOND = 10.0
"""Pings and pongs a client may send, sustained. Libraries send one in twenty seconds."""
MAX_FRAGMENTS = 1024
"""Frames of one message. Its size is limited besides, but empty frames add nothing to that."""
LINGER_S = 1.0
"""How long a client that is sent away has to read why."""
MAX_HEAD_BYTES = 65536
"""Request line and headers of a request."""


class SpeechConfig(uvicorn.Config):
    """uvicorn's, with the seconds a request's headers have to arrive in."""

    def __init__(self, app: Any, *, header_timeout_s: float, **options: Any) -> None:
        super().__init__(app, http=TimedHttp, ws=SpeechSocket, **options)
        self.header_timeout_s = header_timeout_s


class TimedHttp(HttpToolsProtocol):
    """Hangs up on those who connect and say nothing, or never come to the end of their headers."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        assert isinstance(config, SpeechConfig)
        self._header_timeout_s = config.header_timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.timeout_keep_alive_task is not None:  # uvicorn stops that timer at the first byte.
            self._await_headers()
        super().data_received(data)
        if self._deadline is not None and not self._in_body:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_came()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def _await_headers(self) -> None:
        if self._deadline is None:
            self._head_bytes = 0
            self._deadline = self.loop.call_later(self._header_timeout_s, self.transport.abort)

    def _headers_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class SpeechSocket(WebSocketsSansIOProtocol):
    """Understands FRAMES besides the events of ASGI. What a client can make it keep is bounded."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pings = MessageRate(PINGS_PER_SECOND)
        self._owed_pong = b""
        self._hung_up = False

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
        if self._owed_pong and not self.close_sent:
            self.transport.write(self._owed_pong)
        self._owed_pong = b""

    # Reading.

    def data_received(self, data: bytes) -> None:
        if self._hung_up:
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_ping(self) -> None:
        """Answer; while the client does not read, owe it only the latest answer (RFC 6455, 5.5.3)."""
        pongs = self.conn.data_to_send()
        if not self._count_ping():
            return
        if self.writable.is_set():
            self.transport.write(b"".join(pongs))
        elif pongs:
            self._owed_pong = pongs[-1]

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
        """Whether a ping or pong is one of few."""
        if self._hung_up:
            return False
        try:
            self._pings.count()
        except RateLimited as error:
            self._fail(error.close_code, error.message)
            return False
        return True

    # Ending.

    def keepalive_timeout(self) -> None:
        """The client does not answer: nothing waits for what is still to be sent to it."""
        super().keepalive_timeout()
        self._hung_up = True
        self.transport.abort()

    def _fail(self, code: int, reason: str) -> None:
        if not self._hung_up:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Send what the connection failed with and hang up.

        What still comes is read and dropped for a moment: closing a socket over unread data takes back what
        was sent last.
        """
        self._hung_up = self.close_sent = True
        self.frames = []
        self.stop_keepalive()
        sent = self.conn.close_sent
        code, reason = (sent.code, sent.reason) if sent else (CloseCode.ABNORMAL_CLOSURE, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if not self.handshake_complete or not self.writable.is_set():
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
