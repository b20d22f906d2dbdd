"""Answers given before the request has come whole, to clients that may go on sending."""

from __future__ import annotations

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALL_BYTES = 64 * 1024
"""A body that has come anyway by the time it is refused: the connection goes on after it."""
LINGER_S = 1.0
LINGER_BYTES = 8 * 2**20
"""How long, and through how much more, a refused client is listened to so that it can read why. Hanging up
over what it has sent already could take the answer back."""


class HangUp:
    """Tells a client that is refused over a large body to stop, and hangs up if it does not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_large(Headers(scope=scope)):
            await self._app(scope, *_hanging_up(receive, send))
        else:
            await self._app(scope, receive, send)


def _is_large(headers: Headers) -> bool:
    """Whether the body is, or may be."""
    said = headers.get("content-length", "")
    if said.isascii() and said.isdigit():
        return int(said[:20]) > SMALL_BYTES
    return "transfer-encoding" in headers


def _hanging_up(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """The two, the answer being the last of the connection where the body was not read to its end."""
    whole = False
    early = False

    async def receive_counted() -> Message:
        nonlocal whole
        message = await receive()
        whole = whole or not message.get("more_body", False)
        return message

    async def send_last(message: Message) -> None:
        nonlocal early
        if message["type"] == "http.response.start" and not whole:
            early = True
            MutableHeaders(scope=message)["connection"] = "close"
        if not early or message["type"] != "http.response.body" or message.get("more_body", False):
            await send(message)
            return
        await send({**message, "more_body": True})
        await _listen_on(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return receive_counted, send_last


async def _listen_on(receive: Receive) -> None:
    """Until the client has come to its end, left, or gone on for too long."""
    heard = 0
    with anyio.move_on_after(LINGER_S):
        while heard <= LINGER_BYTES:
            message = await receive()
            heard += len(message.get("body", b""))
            if not message.get("more_body", False):
                return
