"""Request bodies that arrive too slowly, or too many of them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streaming_server.errors import TooSlow
from streaming_server.web.limits import BodyPlaces

SLOWEST_BYTES_PER_S = 4096
"""A body that arrives more slowly than this, after a time of grace, is given up."""


class BodyLimit:
    """Give each body a place while it arrives, and a deadline that moves with its progress.

    The request's handler sees Full or TooSlow when it reads the body, and answers in its own form.
    """

    def __init__(self, app: ASGIApp, grace_s: float, places: BodyPlaces) -> None:
        self._app = app
        self._grace_s = grace_s
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        address = (scope.get("client") or ("",))[0]
        async with AsyncExitStack() as stack:
            body = _RequestBody(self._places.hold(address), stack, self._grace_s, receive, send)
            await self._app(scope, body.receive, body.send)


class _RequestBody:
    """One request body. Holds its place, in `stack`, from the first read to the last."""

    def __init__(
        self,
        place: AbstractAsyncContextManager[None],
        stack: AsyncExitStack,
        grace_s: float,
        receive: Receive,
        send: Send,
    ) -> None:
        self._place = place
        self._stack = stack
        self._grace_s = grace_s
        self._receive = receive
        self._send = send
        self._deadline: float | None = None
        self._complete = False
        self._too_slow = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        if self._deadline is None:
            await self._stack.enter_async_context(self._place)
            self._deadline = anyio.current_time() + self._grace_s
        with anyio.move_on_after(max(0.0, self._deadline - anyio.current_time())) as waiting:
            message = await self._receive()
        if waiting.cancelled_caught:
            self._too_slow = True
            raise TooSlow("The body did not arrive in time.")
        self._deadline += len(message.get("body", b"")) / SLOWEST_BYTES_PER_S
        if not message.get("more_body", False):
            self._complete = True
            await self._stack.aclose()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._too_slow:
            MutableHeaders(scope=message)["connection"] = "close"
        await self._send(message)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
