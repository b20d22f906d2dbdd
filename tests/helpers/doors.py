"""Clients of every protocol: each returns the PCM of TEXT at RATE."""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgpack
from websockets.asyncio.client import connect

from helpers.foreign import exchanging, native_audio
from helpers.servers import Server

TEXT = "Hello there, fox. And a second sentence."
RATE = 24000


async def post(server: Server, path: str, body: Any) -> bytes:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.content


async def generate(server: Server, voice: str) -> bytes:
    return await post(server, "/generate", {"text": TEXT, "voice_id": voice, "response_format": "pcm"})


async def openai(server: Server, voice: str) -> bytes:
    body = {"model": "tts-1", "input": TEXT, "voice": voice, "response_format": "pcm"}
    return await post(server, "/v1/audio/speech", body)


async def elevenlabs_http(server: Server, voice: str) -> bytes:
    path = f"/v1/text-to-speech/{voice}/stream?output_format=pcm_{RATE}"
    return await post(server, path, {"text": TEXT})


async def deepgram_http(server: Server, voice: str) -> bytes:
    path = f"/v1/speak?model={voice}&encoding=linear16&container=none&sample_rate={RATE}"
    return await post(server, path, {"text": TEXT})


def cartesia_request(voice_id: str, **fields: Any) -> dict[str, Any]:
    form = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE}
    voice = {"mode": "id", "id": voice_id}
    return {"model_id": "any", "transcript": TEXT, "voice": voice, "output_format": form, **fields}


async def cartesia_http(server: Server, voice: str) -> bytes:
    return await post(server, "/tts/bytes", cartesia_request(voice))


async def cartesia(server: Server, voice: str) -> bytes:
    async with exchanging(f"{server.ws_url}/tts/websocket") as exchange:
        await exchange.send(**cartesia_request(voice, context_id="one"))
        await exchange.until(lambda m: m["done"])
    return b"".join(b64decode(m["data"]) for m in exchange.told if m["type"] == "chunk")


async def elevenlabs(server: Server, voice: str, path: str = "stream-input", **context: str) -> bytes:
    url = f"{server.ws_url}/v1/text-to-speech/{voice}/{path}?output_format=pcm_{RATE}"
    async with exchanging(url) as exchange:
        await exchange.send(text=" ", **context)
        for word in TEXT.split():
            await exchange.send(text=f"{word} ", **context)
        if context:
            await exchange.send(flush=True, **context)
            await exchange.send(close_context=True, **context)
        else:
            await exchange.send(text="")
        await exchange.until(lambda m: m.get("isFinal"))
    return b"".join(b64decode(m["audio"]) for m in exchange.told if m.get("audio"))


async def elevenlabs_contexts(server: Server, voice: str) -> bytes:
    return await elevenlabs(server, voice, "multi-stream-input", context_id="one")


async def deepgram(server: Server, voice: str) -> bytes:
    url = f"{server.ws_url}/v1/speak?model={voice}&encoding=linear16&sample_rate={RATE}"
    async with exchanging(url) as exchange:
        await exchange.send(type="Speak", text=TEXT)
        await exchange.send(type="Flush")
        await exchange.until(lambda m: isinstance(m, dict) and m["type"] == "Flushed")
    return b"".join(m for m in exchange.heard if isinstance(m, bytes))


async def kyutai(server: Server, voice: str) -> bytes:
    """Return its floats as 16-bit samples; the last message is padded with silence."""
    samples: list[float] = []
    async with connect(f"{server.ws_url}/api/tts_streaming?voice={voice}", proxy=None) as socket:
        for word in TEXT.split():
            await socket.send(msgpack.packb({"type": "Text", "text": word}))
        await socket.send(msgpack.packb({"type": "Eos"}))
        async for raw in socket:
            message = msgpack.unpackb(raw)
            samples += message["pcm"] if message["type"] == "Audio" else ()
    return struct.pack(f"<{len(samples)}h", *(int(32768 * sample) for sample in samples))


async def native(server: Server, voice: str) -> bytes:
    return await native_audio(server, TEXT, voice=voice, sample_rate=RATE)


Door = Callable[[Server, str], Awaitable[bytes]]
"""Speaks TEXT in a voice of a server."""

EQUAL_AT_RATE: tuple[Door, ...] = (
    cartesia,
    elevenlabs,
    elevenlabs_contexts,
    deepgram,
    openai,
    cartesia_http,
    elevenlabs_http,
    deepgram_http,
)
"""Protocols whose audio equals the native websocket's at RATE."""

WEBSOCKETS: tuple[Door, ...] = (native, cartesia, elevenlabs, elevenlabs_contexts, deepgram, kyutai)
EVERY_DOOR: tuple[Door, ...] = (native, kyutai, generate, *EQUAL_AT_RATE)
