"""One client's websocket, in any protocol."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import anyio
import orjson
import structlog
from anyio.abc import TaskGroup
from starlette.types import Receive, Send

from streaming_server.errors import InternalError, SpeechError
from streaming_server.web.client_left import ClientLeft, raising_client_left
from streaming_server.web.websocket.frames import FRAMES

CLOSE_TIMEOUT_S = 1.0
_LONGEST_REASON = 123
"""Bytes (RFC 6455, 5.5)."""

log = structlog.stdlib.get_logger(__name__)


class Connection:
    """Send and receive messages, run the tasks of a client, and be ended from outside.

    extensions: those of ASGI that the server has. send_timeout_s: how long the client may leave a message
    unread, if not as long as the server's setting says.
    """

    def __init__(self, receive: Receive, send: Send, extensions: Collection[str] = ()) -> None:
        self._receive = receive
        self._raw_send = raising_client_left(send)
        self._extensions = extensions
        self._tasks: TaskGroup | None = None
        self._sends = 0
        self._sent_at = 0.0
        self._ended = False
        self._ended_with: SpeechError | None = None
        self._contexts = 0
        self._leaves_with: SpeechError | None = None
        self.send_timeout_s: float | None = None

    @property
    def tasks(self) -> TaskGroup:
        """The task group that ends with the connection, while it is served."""
        assert self._tasks is not None
        return self._tasks

    def is_stalled(self, send_timeout_s: float, now: float) -> bool:
        """Return whether the client has left a message unread for too long."""
        return self._sends > 0 and now - self._sent_at > (self.send_timeout_s or send_timeout_s)

    def end(self, error: SpeechError | None = None) -> None:
        """End the connection now, with the error's close code."""
        self._ended, self._ended_with = True, error
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    def end_when_idle(self, error: SpeechError) -> None:
        """End the connection with the error's close code as soon as no context is open."""
        self._leaves_with = error
        if not self._contexts:
            self.end(error)

    def open_context(self) -> None:
        """Count a context that begins."""
        self._contexts += 1

    def close_context(self) -> None:
        """Count a context whose end was sent."""
        self._contexts -= 1
        if not self._contexts and not self._ended and self._leaves_with is not None:
            self.end(self._leaves_with)

    async def serve(self, talk: Callable[[], Awaitable[None]]) -> None:
        """Run `talk` and its tasks until it returns, the client leaves or the connection is ended."""
        try:
            async with anyio.create_task_group() as self._tasks:
                if not self._ended:
                    await talk()
                self._tasks.cancel_scope.cancel()
        except* ClientLeft:
            pass  # The client left; its contexts ended with the task group.
        except* Exception as group:
            log.error("connection failed", errors=[type(error).__name__ for error in group.exceptions])
            log.debug("connection failed here", exc_info=group)
            self._ended_with = InternalError("Internal error; see the server's log.")
        self._tasks = None
        if self._ended_with is not None:
            await self.close(self._ended_with.close_code, self._ended_with.message)

    async def accept(self, subprotocol: str | None = None) -> bool:
        """Accept the handshake. Return False if the client left before it."""
        if (await self._receive())["type"] != "websocket.connect":
            return False
        try:
            await self._raw_send({"type": "websocket.accept", "subprotocol": subprotocol})
        except ClientLeft:
            return False
        return True

    async def receive(self) -> str | bytes | None:
        """Wait for the next message, text or binary. Return None when the client has left."""
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            return None
        text: str | None = event.get("text")
        return text if text is not None else event.get("bytes") or b""

    async def send_json(self, message: Mapping[str, Any]) -> None:
        """Send JSON as text. Raise ClientLeft."""
        await self.send(orjson.dumps(message).decode())

    async def send(self, data: str | bytes) -> None:
        """Send one text or binary message. Raise ClientLeft."""
        kind = "text" if isinstance(data, str) else "bytes"
        await self._send({"type": "websocket.send", kind: data})

    async def send_frames(self, frames: Sequence[bytes]) -> None:
        """Send binary messages, in one write if the server can. Raise ClientLeft."""
        if FRAMES in self._extensions:
            await self._send({"type": FRAMES, "frames": frames})
            return
        for frame in frames:
            await self.send(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send the close frame; a client that does not read is left to the socket's own timeout.

        Sending afterwards is an error.
        """
        with anyio.move_on_after(CLOSE_TIMEOUT_S), suppress(ClientLeft):
            await self._raw_send({"type": "websocket.close", "code": code, "reason": _shortened(reason)})

    async def _send(self, event: dict[str, Any]) -> None:
        if not self._sends:
            self._sent_at = time.monotonic()
        self._sends += 1
        try:
            await self._raw_send(event)
            self._sent_at = time.monotonic()
        finally:
            self._sends -= 1


def _shortened(reason: str) -> str:
    """Cut a reason to what a close frame holds."""
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
