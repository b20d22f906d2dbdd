"""A server that only replays recorded frames: the upper bound that the real server is compared with.

Run as `python -m streaming_server.bench.ceiling` with `RecordedFrames` as JSON on standard input; prints its
port. Sends the load generator the same messages and frames as the server, at the same pace: a burst per
sentence, limited by `max_lead_ms`. Ignores options, validates nothing and synthesises nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from streaming_server.audio.frames import AUDIO_KIND, FRAME_HEADER
from streaming_server.bench.recording import RecordedFrames
from streaming_server.settings import Settings
from streaming_server.web.server import listen

_TERMINATORS = (".", "!", "?")


class _Turn:
    """One context: collects text into sentences, which a task answers with recorded frames."""

    def __init__(self, socket: WebSocket, recording: RecordedFrames) -> None:
        self._socket = socket
        self._recording = recording
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue()
        self._text = ""
        self._task = asyncio.create_task(self._send())

    def append(self, text: str) -> None:
        """Add a token. A sentence ends where a token with a leading space follows a terminator."""
        if text.startswith(" ") and self._text.endswith(_TERMINATORS):
            self._sentences.put_nowait(self._text)
            text, self._text = text[1:], ""
        self._text += text

    def finish(self) -> None:
        self._sentences.put_nowait(self._text)
        self._sentences.put_nowait(None)

    def stop(self) -> None:
        self._task.cancel()

    async def _send(self) -> None:
        socket, rate = self._socket, self._recording.sample_rate
        lead_s, silence = self._recording.max_lead_ms / 1000, bytes(65536)
        began, sample, number, end, index = 0.0, 0, 0, 0, 0
        await _send_json(socket, type="started", context="reply", handle=0, sample_rate=rate)
        while (text := await self._sentences.get()) is not None:
            began = began or time.monotonic()
            end += len(text)
            await _send_json(
                socket,
                type="sentence",
                index=index,
                text=text,
                start=end - len(text),
                end=end,
                first_sample=sample,
            )
            for size in self._recording.frames[text]:
                pcm = size - FRAME_HEADER.size
                if (wait_s := sample / rate - lead_s - (time.monotonic() - began)) > 0:
                    await asyncio.sleep(wait_s)
                await socket.send_bytes(FRAME_HEADER.pack(AUDIO_KIND, 0, 0, number, sample) + silence[:pcm])
                number, sample = number + 1, sample + pcm // 2
            end, index = end + 1, index + 1
        await _send_json(socket, type="done", context="reply")


async def _send_json(socket: WebSocket, **message: Any) -> None:
    await socket.send_text(orjson.dumps(message).decode())


def create_app(recording: RecordedFrames) -> Starlette:
    """Return the application. Each connection has at most one context at a time."""

    async def speak(socket: WebSocket) -> None:
        turn = None
        try:
            await socket.accept()
            await _send_json(socket, type="ready", sample_rate=recording.sample_rate)
            while True:
                message = orjson.loads(await socket.receive_text())
                if message["type"] == "start":
                    turn = _Turn(socket, recording)
                elif turn is not None and message["type"] == "text":
                    turn.append(message["text"])
                elif turn is not None and message["type"] == "finish":
                    turn.finish()
        except (WebSocketDisconnect, RuntimeError):
            pass  # The client disconnected; uvicorn raises RuntimeError if that was during the handshake.
        finally:
            if turn is not None:
                turn.stop()

    return Starlette(routes=[WebSocketRoute("/ws/speak", speak)])


def main() -> None:
    recording = RecordedFrames.model_validate_json(sys.stdin.buffer.read())
    settings = Settings(host="127.0.0.1", port=0)
    listener = listen(settings)
    config = uvicorn.Config(
        create_app(recording),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_ping_interval=settings.ping_s,
        ws_ping_timeout=settings.ping_s,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
