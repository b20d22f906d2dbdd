"""uvicorn's websocket, able to send several frames with one write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

FRAMES = "speech.frames"
"""Type of an event that carries `frames`: binary messages to be sent in order, in one write.

A piece of speech is up to ten messages; written one by one, each costs a system call, which together cost
more than all the rest that is done for them.
"""


class SpeechSocket(WebSocketsSansIOProtocol):
    """Understands FRAMES besides the events of ASGI."""

    async def send(self, message: Any) -> None:
        if message["type"] == FRAMES:
            await self._send_frames(message["frames"])
        else:
            await super().send(message)

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
