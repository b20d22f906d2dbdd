"""Websockets at paths where there are none."""

from __future__ import annotations

import orjson
from starlette.types import Receive, Scope, Send


class UnknownWebSocket:
    """Refuse the handshake with 404. An ASGI application, as `Handshake` is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = orjson.dumps(
            {"error": {"code": "not_found", "message": "There is no websocket at this path."}}
        )
        headers = [(b"content-type", b"application/json")]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
