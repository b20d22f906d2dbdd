"""An HTTP response that is sent while it is spoken."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace

import anyio
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from streaming_server.audio.formats import content_type
from streaming_server.errors import SpeechError, TooSlow
from streaming_server.render import Rendering
from streaming_server.speech_options import UNPACED_MS, SpeechOptions
from streaming_server.web.client_left import ClientLeft, raising_client_left
from streaming_server.web.http_protocol import ABORT
from streaming_server.web.services import SpeechServices

SLOWEST_READER = 0.5
"""Least speed of a reader, relative to playback, before it counts as stalled."""

log = structlog.stdlib.get_logger(__name__)

Body = Callable[[Rendering], AsyncGenerator[bytes, None]]


class ReaderPatience:
    """Limit how long a reader is waited for.

    It may stall for `stall_s` in all, and must otherwise read at SLOWEST_READER times playback speed or
    faster.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._audio_s = 0.0
        self._waited_s = 0.0

    def left_s(self, audio_s: float) -> float:
        """Return how long the next write may take, when so much audio has been made in all."""
        once_s = self._stall_s + (audio_s - self._audio_s) / SLOWEST_READER
        self._audio_s = audio_s
        in_all_s = self._stall_s + audio_s / SLOWEST_READER - self._waited_s
        return max(0.0, min(once_s, in_all_s))

    def waited(self, seconds: float) -> None:
        self._waited_s += seconds


class SpeechResponse(Response):
    """Speak a text and send the audio while it is made, as fast as the client reads it.

    An error before the first byte is answered by `explain`. A failure after it aborts the connection without
    the end of the body, so that the part is not taken for the whole. A client that leaves cancels the speech.

    body: turns the rendering into the bytes of the response; by default its audio.
    """

    def __init__(
        self,
        services: SpeechServices,
        text: str,
        options: SpeechOptions,
        *,
        explain: Callable[[SpeechError], Response],
        body: Body = Rendering.audio,
        media_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._services = services
        self._text = text
        self._options = replace(options, max_lead_ms=UNPACED_MS)
        self._explain = explain
        self._body = body
        self._media_type = media_type
        self._extra = headers or {}
        self._begun: Rendering | None = None
        self._error: SpeechError | None = None
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._until_gone, receive, group.cancel_scope)
            with suppress(ClientLeft):
                await self._speak(raising_client_left(send))
            group.cancel_scope.cancel()
        if self._error is None:
            return
        if self._begun is None:
            await self._explain(self._error)(scope, receive, send)
            return
        log.warning("response aborted", code=self._error.code, audio_s=round(self._begun.audio_s, 2))
        if ABORT in scope.get("extensions", {}):
            await send({"type": ABORT})

    async def _speak(self, send: Send) -> None:
        """Speak and send the response. Raise ClientLeft. An error of the speech becomes `_error`."""
        services = self._services
        try:
            with services.limits.speaking(services.pool.has_room):
                engine = await services.pool.engine()
                async with services.contexts.open(engine, self._options) as rendering:
                    await rendering.read(self._text)
                    async with aclosing(self._body(rendering)) as body:
                        await self._send_all(rendering, body, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except SpeechError as error:
            self._error = error

    async def _send_all(self, rendering: Rendering, body: AsyncGenerator[bytes, None], send: Send) -> None:
        """Send the response up to its last audio. Raise SpeechError, ClientLeft."""
        patience = ReaderPatience(self._services.settings.stall_timeout_s)
        async for data in body:
            await self._begin(rendering, send)
            started = time.monotonic()
            with anyio.move_on_after(patience.left_s(rendering.audio_s)) as waiting:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            if waiting.cancelled_caught:
                raise TooSlow("The client has stopped reading.")
            patience.waited(time.monotonic() - started)
        await self._begin(rendering, send)  # If the engine made no sound of it.

    async def _begin(self, rendering: Rendering, send: Send) -> None:
        """Send the head of the response unless that was done."""
        if self._begun is None:
            await send(self._head(rendering))
            self._begun = rendering

    def _head(self, rendering: Rendering) -> dict[str, object]:
        media_type = self._media_type or content_type(self._options.audio.format, rendering.sample_rate)
        headers = {"content-type": media_type, **self._extra}
        raw = [(name.lower().encode(), value.encode("ascii")) for name, value in headers.items()]
        return {"type": "http.response.start", "status": 200, "headers": raw}

    async def _until_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        """Cancel the speech when the client leaves, or when a body that nobody has read is refused."""
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        except SpeechError as error:
            self._error = error
        scope.cancel()
