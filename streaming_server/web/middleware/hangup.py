"""Responses sent before a large request body has been read."""

from __future__ import annotations

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALL_BYTES = 64 * 1024
"""Bodies up to this size are read to their end even if refused, so the connection stays usable."""
LINGER_S = 1.0
LINGER_BYTES = 8 * 2**20
"""Seconds, and bytes, to read after the response before closing.

Closing a socket with unread data resets the connection, and the client may lose the response.
"""


class HangUp:
    """Send `Connection: close` with a response to a large body that was not read, then close."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _may_be_large(Headers(scope=scope)):
            await self._app(scope, *_closing(receive, send))
        else:
            await self._app(scope, receive, send)


def _may_be_large(headers: Headers) -> bool:
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit():
        return int(length[:20]) > SMALL_BYTES
    return "transfer-encoding" in headers


def _closing(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Wrap both so that a response to an unread body closes the connection."""
    complete = False
    early = False

    async def receive_counted() -> Message:
        nonlocal complete
        message = await receive()
        complete = complete or not message.get("more_body", False)
        return message

    async def send_last(message: Message) -> None:
        nonlocal early
        if message["type"] == "http.response.start" and not complete:
            early = True
            MutableHeaders(scope=message)["connection"] = "close"
        if not early or message["type"] != "http.response.body" or message.get("more_body", False):
            await send(message)
            return
        await send({**message, "more_body": True})
        await _drain(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return receive_counted, send_last


async def _drain(receive: Receive) -> None:
    """Read until the body ends, the client leaves, or a limit is reached."""
    received = 0
    with anyio.move_on_after(LINGER_S):
        while received <= LINGER_BYTES:
            message = await receive()
            received += len(message.get("body", b""))
            if not message.get("more_body", False):
                return
