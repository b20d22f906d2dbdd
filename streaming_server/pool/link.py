"""The server's end of the pipe to a worker, read by the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import anyio

from streaming_server.errors import ProtocolError
from streaming_server.ipc.framing import FrameReader
from streaming_server.ipc.messages import Report, Request, decode_report, encode


class WorkerLink(asyncio.Protocol):
    """Decodes a worker's reports and passes them to `on_report`; a malformed one closes the link.

    closed: set when the link is closed, by either side. fault: what the worker did wrong, as a predicate, if
    that is why.
    """

    def __init__(self, on_report: Callable[[Report], None]) -> None:
        self._on_report = on_report
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self.closed = anyio.Event()
        self.fault: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it.

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                self._on_report(decode_report(frame))
        except ProtocolError as error:
            self.fault = f"broke the protocol: {error.message}"
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.closed.set()

    def send(self, request: Request) -> None:
        """Send a request; does nothing once the link is closed."""
        if self._transport is not None:
            self._transport.write(encode(request))

    def abort(self) -> None:
        """Close the link and discard what has not been sent. Idempotent."""
        if self._transport is not None:
            self._transport.abort()

    async def closed_or(self, event: anyio.Event) -> None:
        """Return when the link is closed or the event has happened."""
        async with anyio.create_task_group() as group:

            async def wait(first: anyio.Event) -> None:
                await first.wait()
                group.cancel_scope.cancel()

            group.start_soon(wait, event)
            group.start_soon(wait, self.closed)
