"""Websockets at paths where there are none."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from streaming_server.web.websocket.answer import answer_handshake


class UnknownWebSocket:
    """Refuse the handshake with 404. An ASGI application, as `Handshake` is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = {"code": "not_found", "message": "There is no websocket at this path."}
        await answer_handshake(scope, send, 404, {"error": error})
