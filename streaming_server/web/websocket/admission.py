"""How a websocket is let in, the same at every door: origin, key, a place, or a word why not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import anyio
import orjson
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from streaming_server.errors import SpeechError, Unauthorized
from streaming_server.web.auth import Access, key_of
from streaming_server.web.native.messages import Auth, read
from streaming_server.web.responses import retry_after
from streaming_server.web.services import parts_of

GOODBYE_S = 1.0
"""How long a client that is sent away may take to read why."""


async def admit(
    scope: Scope,
    receive: Receive,
    send: Send,
    take_place: Callable[[], AbstractContextManager[None]],
    subprotocol: str | None = None,
) -> AbstractContextManager[object] | None:
    """Accept a websocket. The place it takes, to be left with the context manager; None if it was sent away.

    What can be told before accepting is told as an HTTP error. A browser, which cannot send headers, shows
    its key afterwards, as the first message; until then it takes none of the places of those who have one.
    """
    connection = HTTPConnection(scope)
    parts = parts_of(connection)
    access, limits = parts.access, parts.limits
    accepted = False
    with ExitStack() as place:
        try:
            access.check_origin(connection)
            key = key_of(connection)
            if key is not None:
                access.check_key(key)
            place.enter_context(take_place())
            if waits := key is None and access.needs_key:
                place.close()  # It was there at least.
                place.enter_context(limits.waiting())
            if (await receive())["type"] != "websocket.connect":
                return None
            await send({"type": "websocket.accept", "subprotocol": subprotocol})
            accepted = True
            if waits:
                if not await _show_key(access, receive, parts.settings.auth_timeout_s):
                    return None
                place.close()
                place.enter_context(take_place())
            return place.pop_all()
        except SpeechError as error:
            parts.metrics.refused.labels(error.code).inc()
            await (send_away if accepted else refuse)(send, error)
            return None


async def refuse(send: Send, error: SpeechError) -> None:
    """Answer the handshake with an HTTP error."""
    body = orjson.dumps({"error": {"code": error.code, "message": error.message}})
    told = {"content-type": "application/json", **retry_after(error.http_status)}
    headers = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "websocket.http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def send_away(send: Send, error: SpeechError) -> None:
    """Tell an accepted client why it may not stay, and close; one that does not read is just left."""
    told = {"type": "error", "code": error.code, "message": error.message, "retryable": error.retryable}
    with anyio.move_on_after(GOODBYE_S):
        await send({"type": "websocket.send", "text": orjson.dumps(told).decode()})
        await send({"type": "websocket.close", "code": error.close_code, "reason": error.message})


async def _show_key(access: Access, receive: Receive, timeout_s: float) -> bool:
    """Wait for the message with the key; False if the client left instead. Raises Unauthorized."""
    with anyio.move_on_after(timeout_s):
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return False
        try:
            message = read(event.get("text") or "")
            access.check_key(message.key if isinstance(message, Auth) else None)
        except SpeechError:
            raise Unauthorized("The first message must carry a valid key.") from None
        return True
    raise Unauthorized("No key came in time.")
