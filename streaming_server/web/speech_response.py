"""An HTTP response that is sent while it is spoken."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace

import anyio
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from streaming_server.audio.formats import content_type
from streaming_server.errors import SpeechError, TooSlow
from streaming_server.render import Rendering
from streaming_server.speech_options import UNPACED_MS, SpeechOptions
from streaming_server.web.http_protocol import ABORT
from streaming_server.web.services import SpeechServices

SLOWEST_READER = 0.5
"""Least speed of a reader, relative to playback, before it counts as stalled."""

log = structlog.stdlib.get_logger(__name__)

Body = Callable[[Rendering], AsyncGenerator[bytes, None]]


class ReaderPatience:
    """Bound how long a reader is waited for, in seconds.

    It may stand still for `stall_s` in all, and beside that take as long as the audio does at the slowest. A
    player that reads as fast as it plays is never too slow.
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
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._until_gone, receive, group.cancel_scope)
            try:
                await self._speak(send)
            except SpeechError as error:
                await self._explain(error)(scope, receive, send)
            except ConnectionAbortedError:
                if ABORT in scope.get("extensions", {}):
                    await send({"type": ABORT})
            except OSError:
                pass  # The client left while the audio was sent.
            group.cancel_scope.cancel()

    async def _speak(self, send: Send) -> None:
        services = self._services
        with services.limits.speaking(services.pool.has_room):
            engine = await services.pool.engine()
            async with services.contexts.open(engine, self._options) as rendering:
                await rendering.read(self._text)
                async with aclosing(self._body(rendering)) as body:
                    await self._send_all(rendering, body, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, rendering: Rendering, body: AsyncGenerator[bytes, None], send: Send) -> None:
        begun = False
        patience = ReaderPatience(self._services.settings.stall_timeout_s)
        try:
            async for data in body:
                if not begun:
                    await send(self._start(rendering))
                    begun = True
                started = time.monotonic()
                with anyio.fail_after(patience.left_s(rendering.audio_s)):
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                patience.waited(time.monotonic() - started)
            if not begun:
                await send(self._start(rendering))  # The engine made no sound of it.
        except (SpeechError, TimeoutError) as error:
            if not begun:
                raise
            code = error.code if isinstance(error, SpeechError) else TooSlow.code
            log.warning("response aborted", code=code, audio_s=round(rendering.audio_s, 2))
            raise ConnectionAbortedError from error

    def _start(self, rendering: Rendering) -> dict[str, object]:
        media_type = self._media_type or content_type(self._options.audio.format, rendering.sample_rate)
        headers = {"content-type": media_type, **self._extra}
        raw = [(name.lower().encode(), value.encode("ascii")) for name, value in headers.items()]
        return {"type": "http.response.start", "status": 200, "headers": raw}

    @staticmethod
    async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()
