"""Clients of every door that send options beside the text. Each returns PCM at RATE."""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgpack
from websockets.asyncio.client import connect

from helpers.events import at_port, wyoming_port
from helpers.foreign import exchanging, native_audio
from helpers.servers import Server

RATE = 24000
"""Hz, also of the natural engine, so that doors without a choice of rate give the same audio."""
AUDIO = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE}

TEXT = "Hello there, fox. And a second sentence."
VOICE = "aria"

Fields = dict[str, Any]
Door = Callable[[Server, str, Fields], Awaitable[bytes]]
"""Speaks a text with options."""
VoiceDoor = Callable[[Server, str, Fields, str], Awaitable[bytes]]
"""Speaks a text with options in a voice."""


async def native(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    return await native_audio(server, text, **{"voice": voice, "sample_rate": RATE, **fields})


async def post(server: Server, path: str, body: Fields, query: Fields | None = None) -> bytes:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        answer = await client.post(path, json=body, params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


def in_query(fields: Fields) -> Fields:
    """Return options as a query holds them: objects and booleans as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}


async def openai(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    body = {"input": text, "voice": voice, "response_format": "pcm", **fields}
    return await post(server, "/v1/audio/speech", body)


async def openai_query(server: Server, text: str, fields: Fields) -> bytes:
    query = {"input": text, "response_format": "pcm", **in_query(fields)}
    return await post(server, "/v1/audio/speech", {}, query)


async def generate(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    """The engine's own rate, which is RATE with the natural one."""
    body = {"text": text, "voice_id": voice, "response_format": "pcm", **fields}
    return await post(server, "/generate", body)


async def generate_plainly(server: Server, text: str, fields: Fields) -> bytes:
    return (await post(server, "/api/tts/generate", {"text": text, "voice_id": VOICE, **fields}))[44:]


async def job(server: Server, text: str, fields: Fields) -> bytes:
    body = {"text": text, "voice_id": VOICE, "response_format": "pcm", **fields}
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        queued = (await client.post("/generate?async_mode=true", json=body)).json()
        deadline = time.monotonic() + 30
        while (answer := await client.get(queued["result_url"])).status_code != 200:
            assert answer.status_code == 425, answer.text
            assert time.monotonic() < deadline
    return answer.content


async def elevenlabs_http(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    path = f"/v1/text-to-speech/{voice}/stream?output_format=pcm_{RATE}"
    return await post(server, path, {"text": text, **fields})


async def elevenlabs_whole(server: Server, text: str, fields: Fields) -> bytes:
    return await post(
        server, f"/v1/text-to-speech/{VOICE}?output_format=pcm_{RATE}", {"text": text, **fields}
    )


async def elevenlabs_timed(server: Server, text: str, fields: Fields) -> bytes:
    path = f"/v1/text-to-speech/{VOICE}/with-timestamps?output_format=pcm_{RATE}"
    return base64.b64decode(json.loads(await post(server, path, {"text": text, **fields}))["audio_base64"])


async def elevenlabs_timed_stream(server: Server, text: str, fields: Fields) -> bytes:
    path = f"/v1/text-to-speech/{VOICE}/stream/with-timestamps?output_format=pcm_{RATE}"
    lines = (await post(server, path, {"text": text, **fields})).splitlines()
    return b"".join(base64.b64decode(json.loads(line)["audio_base64"]) for line in lines)


async def deepgram_http(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    query = {"model": voice, "encoding": "linear16", "container": "none", "sample_rate": RATE}
    return await post(server, "/v1/speak", {"text": text}, {**query, **in_query(fields)})


async def deepgram_body(server: Server, text: str, fields: Fields) -> bytes:
    query = {"model": VOICE, "encoding": "linear16", "container": "none", "sample_rate": RATE}
    return await post(server, "/v1/speak", {"text": text, **fields}, query)


def cartesia_request(text: str, voice: str = VOICE, **fields: Any) -> Fields:
    who = {"mode": "id", "id": voice}
    return {"model_id": "any", "transcript": text, "voice": who, "output_format": AUDIO, **fields}


async def cartesia_http(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    return await post(server, "/tts/bytes", cartesia_request(text, voice, **fields))


async def cartesia_events(server: Server, text: str, fields: Fields) -> bytes:
    events = await post(server, "/tts/sse", cartesia_request(text, **fields))
    data = [json.loads(line[6:]) for line in events.splitlines() if line.startswith(b"data: ")]
    return b"".join(base64.b64decode(event["data"]) for event in data if event["type"] == "chunk")


async def cartesia(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    async with exchanging(f"{server.ws_url}/tts/websocket") as exchange:
        await exchange.send(**cartesia_request(text, voice, **fields, context_id="one"))
        await exchange.until(lambda m: m["done"])
    return b"".join(base64.b64decode(m["data"]) for m in exchange.told if m["type"] == "chunk")


async def _elevenlabs(
    server: Server, text: str, path: str, query: Fields, voice: str = VOICE, **first: Any
) -> bytes:
    """Send the text word by word."""
    params = httpx.QueryParams({"output_format": f"pcm_{RATE}", **in_query(query)})
    name = {"context_id": "one"} if path == "multi-stream-input" else {}
    async with exchanging(f"{server.ws_url}/v1/text-to-speech/{voice}/{path}?{params}") as exchange:
        await exchange.send(text=" ", **name, **first)
        for word in text.split():
            await exchange.send(text=f"{word} ", **name)
        if name:
            await exchange.send(flush=True, **name)
        await exchange.send(**({"close_context": True, **name} if name else {"text": ""}))
        await exchange.until(lambda m: m.get("isFinal"))
    return b"".join(base64.b64decode(m["audio"]) for m in exchange.told if m.get("audio"))


async def elevenlabs(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    return await _elevenlabs(server, text, "stream-input", fields, voice)


async def elevenlabs_contexts(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    return await _elevenlabs(server, text, "multi-stream-input", fields, voice)


async def elevenlabs_first_message(server: Server, text: str, fields: Fields) -> bytes:
    return await _elevenlabs(server, text, "stream-input", {}, **fields)


async def elevenlabs_first_of_a_context(server: Server, text: str, fields: Fields) -> bytes:
    return await _elevenlabs(server, text, "multi-stream-input", {}, **fields)


async def deepgram(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    return await _deepgram(server, text, {"model": voice, **in_query(fields)}, {})


async def deepgram_message(server: Server, text: str, fields: Fields) -> bytes:
    return await _deepgram(server, text, {}, fields)


async def _deepgram(server: Server, text: str, query: Fields, first: Fields) -> bytes:
    params = httpx.QueryParams({"model": VOICE, "sample_rate": RATE, **query})
    async with exchanging(f"{server.ws_url}/v1/speak?{params}") as exchange:
        await exchange.send(type="Speak", text=text, **first)
        await exchange.send(type="Flush")
        await exchange.until(lambda m: isinstance(m, dict) and m["type"] == "Flushed")
    return b"".join(m for m in exchange.heard if isinstance(m, bytes))


async def kyutai(server: Server, text: str, fields: Fields, voice: str = VOICE) -> bytes:
    return await _kyutai(server, text, {"voice": voice, **in_query(fields)}, {})


async def kyutai_message(server: Server, text: str, fields: Fields) -> bytes:
    return await _kyutai(server, text, {}, fields)


async def _kyutai(server: Server, text: str, query: Fields, first: Fields) -> bytes:
    """Send the text word by word; return the floats as 16-bit samples. The last message ends in silence."""
    samples: list[float] = []
    url = f"{server.ws_url}/api/tts_streaming?{httpx.QueryParams({'voice': VOICE, **query})}"
    async with connect(url, proxy=None) as socket:
        for word in text.split():
            await socket.send(msgpack.packb({"type": "Text", "text": word, **first}))
            first = {}
        await socket.send(msgpack.packb({"type": "Eos"}))
        async for raw in socket:
            message = msgpack.unpackb(raw)
            assert message["type"] != "Error", message
            samples += message["pcm"] if message["type"] == "Audio" else ()
    return struct.pack(f"<{len(samples)}h", *(int(32768 * sample) for sample in samples))


async def wyoming(server: Server, text: str, fields: Fields) -> bytes:
    return await _wyoming(server, text, **fields)


async def wyoming_voice(server: Server, text: str, fields: Fields) -> bytes:
    """Options in the choice of the voice, which has no name: with one, the language is ignored."""
    return await _wyoming(server, text, voice=fields)


async def _wyoming(server: Server, text: str, **data: Any) -> bytes:
    async with at_port(wyoming_port(server)) as events:
        await events.send("synthesize", text=text, **data)
        await events.until("audio-stop")
    return events.audio()


async def wyoming_streamed(server: Server, text: str, fields: Fields) -> bytes:
    async with at_port(wyoming_port(server)) as events:
        await events.send("synthesize-start", **fields)
        await events.send("synthesize-chunk", text=text)
        await events.send("synthesize-stop")
        await events.until("synthesize-stopped")
    return events.audio()


AT_RATE: tuple[Door, ...] = (
    native,
    openai,
    openai_query,
    elevenlabs_http,
    elevenlabs_whole,
    elevenlabs_timed,
    elevenlabs_timed_stream,
    deepgram_http,
    deepgram_body,
    cartesia_http,
    cartesia_events,
    cartesia,
    elevenlabs,
    elevenlabs_contexts,
    elevenlabs_first_message,
    elevenlabs_first_of_a_context,
    deepgram,
    deepgram_message,
    kyutai,
    kyutai_message,
)
"""Doors at which the client chooses the rate."""

EVERY_DOOR: tuple[Door, ...] = (
    *AT_RATE,
    generate,
    generate_plainly,
    job,
    wyoming,
    wyoming_voice,
    wyoming_streamed,
)

EQUAL_IN_ANY_VOICE: tuple[VoiceDoor, ...] = (
    cartesia,
    elevenlabs,
    elevenlabs_contexts,
    deepgram,
    openai,
    cartesia_http,
    elevenlabs_http,
    deepgram_http,
)
"""One client of each protocol whose audio equals the native websocket's at RATE."""

WEBSOCKETS: tuple[VoiceDoor, ...] = (native, cartesia, elevenlabs, elevenlabs_contexts, deepgram, kyutai)
EVERY_PROTOCOL: tuple[VoiceDoor, ...] = (native, kyutai, generate, *EQUAL_IN_ANY_VOICE)


def same(audio: bytes, expected: bytes) -> bool:
    """Return whether the audio is as expected; some doors fill their last frame with silence."""
    return audio[: len(expected)] == expected and not any(audio[len(expected) :])
