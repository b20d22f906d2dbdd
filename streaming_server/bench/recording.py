"""Frame sizes of every sentence as the server sent it, for the bare socket to replay."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from streaming_server.audio.frames import FRAME_HEADER
from streaming_server.bench.client import Address
from streaming_server.bench.script import SENTENCES
from streaming_server.errors import SpeechError, Unavailable

TIMEOUT_S = 60.0


class RecordedFrames(BaseModel):
    """frames: for each sentence, the size in bytes of each binary message including its header."""

    model_config = ConfigDict(frozen=True)

    sample_rate: int
    max_lead_ms: int
    frames: dict[str, tuple[int, ...]]

    def seconds_of(self, text: str) -> float:
        """Return the duration of the recorded sentences that a text consists of."""
        spoken = (sizes for sentence, sizes in self.frames.items() if sentence in text)
        return sum(size - FRAME_HEADER.size for sizes in spoken for size in sizes) / 2 / self.sample_rate


async def record(server: Address) -> RecordedFrames:
    """Record every sentence once, which also warms the server up. Raise SpeechError."""
    url, headers = server.url("/ws/speak", "ws"), server.headers
    try:
        async with asyncio.timeout(TIMEOUT_S), connect(url, additional_headers=headers, proxy=None) as socket:
            ready = orjson.loads(await socket.recv())
            frames = {sentence: await _spoken(socket, sentence) for sentence in SENTENCES}
    except (InvalidHandshake, ConnectionClosed, TimeoutError, OSError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise Unavailable(f"The server at {url} did not speak: {why}.") from None
    return RecordedFrames(
        sample_rate=ready["sample_rate"], max_lead_ms=ready["limits"]["max_lead_ms"], frames=frames
    )


async def _spoken(socket: ClientConnection, sentence: str) -> tuple[int, ...]:
    sizes = []
    await socket.send(orjson.dumps({"type": "speak", "text": sentence}).decode())
    while True:
        message = await socket.recv()
        if isinstance(message, bytes):
            sizes.append(len(message))
            continue
        event: dict[str, Any] = orjson.loads(message)
        if event["type"] == "error":
            raise SpeechError(str(event["message"]))
        if event["type"] == "done":
            return tuple(sizes)
