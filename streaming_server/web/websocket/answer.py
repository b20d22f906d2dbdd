"""HTTP answers to websocket handshakes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from starlette.types import Scope, Send

_RESPONSE = "websocket.http.response"
_GENERIC_CLOSE = 1008


async def answer_handshake(
    scope: Scope, send: Send, status: int, body: Mapping[str, Any], headers: Iterable[tuple[str, str]] = ()
) -> None:
    """Refuse a websocket with an HTTP status and a JSON body.

    ASGI servers without the extension for this refuse with 403 and no body.
    """
    if _RESPONSE not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _GENERIC_CLOSE})
        return
    fields = [(b"content-type", b"application/json")]
    fields += [(name.encode(), value.encode("ascii", "replace")) for name, value in headers]
    await send({"type": f"{_RESPONSE}.start", "status": status, "headers": fields})
    await send({"type": f"{_RESPONSE}.body", "body": orjson.dumps(body)})
