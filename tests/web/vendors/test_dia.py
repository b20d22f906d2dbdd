"""Dia behind every door: where nothing is left to chance they all sound alike."""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import msgpack
import pytest
from helpers.events import at_port
from helpers.foreign import exchanging, native_audio
from helpers.servers import Server, running_server
from helpers.tiny_dia import options_of
from websockets.asyncio.client import connect

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(180),
]

TEXT = "Hello there, fox. And a second sentence."
VOICE = "greedy"
RATE = 24000


@pytest.fixture(scope="module")
def dia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that speaks with a tiny Dia of random weights, and has a voice that is greedy by default."""
    folder = tmp_path_factory.mktemp("dia")
    with running_server(folder / "log", *options_of(folder), "--wyoming-port=0") as server:
        made = httpx.post(f"{server.url}/voice_mappings", json={"voice_id": VOICE, "temperature": 0.0})
        assert made.status_code == 200, made.text
        yield server


async def post(server: Server, path: str, body: Any) -> bytes:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.content


async def generate(server: Server) -> bytes:
    return await post(server, "/generate", {"text": TEXT, "voice_id": VOICE, "response_format": "pcm"})


async def openai(server: Server) -> bytes:
    body = {"model": "tts-1", "input": TEXT, "voice": VOICE, "response_format": "pcm"}
    return await post(server, "/v1/audio/speech", body)


async def elevenlabs_http(server: Server) -> bytes:
    path = f"/v1/text-to-speech/{VOICE}/stream?output_format=pcm_{RATE}"
    return await post(server, path, {"text": TEXT})


async def deepgram_http(server: Server) -> bytes:
    path = f"/v1/speak?model={VOICE}&encoding=linear16&container=none&sample_rate={RATE}"
    return await post(server, path, {"text": TEXT})


def cartesia_request(**fields: Any) -> dict[str, Any]:
    form = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE}
    voice = {"mode": "id", "id": VOICE}
    return {"model_id": "any", "transcript": TEXT, "voice": voice, "output_format": form, **fields}


async def cartesia_http(server: Server) -> bytes:
    return await post(server, "/tts/bytes", cartesia_request())


async def cartesia(server: Server) -> bytes:
    async with exchanging(f"{server.ws_url}/tts/websocket") as exchange:
        await exchange.send(**cartesia_request(context_id="one"))
        await exchange.until(lambda m: m["done"])
    return b"".join(b64decode(m["data"]) for m in exchange.told if m["type"] == "chunk")


async def elevenlabs(server: Server, path: str = "stream-input", **context: str) -> bytes:
    url = f"{server.ws_url}/v1/text-to-speech/{VOICE}/{path}?output_format=pcm_{RATE}"
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


async def elevenlabs_contexts(server: Server) -> bytes:
    return await elevenlabs(server, "multi-stream-input", context_id="one")


async def deepgram(server: Server) -> bytes:
    url = f"{server.ws_url}/v1/speak?model={VOICE}&encoding=linear16&sample_rate={RATE}"
    async with exchanging(url) as exchange:
        await exchange.send(type="Speak", text=TEXT)
        await exchange.send(type="Flush")
        await exchange.until(lambda m: isinstance(m, dict) and m["type"] == "Flushed")
    return b"".join(m for m in exchange.heard if isinstance(m, bytes))


@pytest.mark.parametrize(
    "door",
    [
        openai,
        cartesia,
        cartesia_http,
        elevenlabs,
        elevenlabs_contexts,
        elevenlabs_http,
        deepgram,
        deepgram_http,
    ],
    ids=lambda door: door.__name__,
)
async def test_a_greedy_voice_sounds_as_at_the_native_door(
    dia: Server, door: Callable[[Server], Awaitable[bytes]]
) -> None:
    native = await native_audio(dia, TEXT, voice=VOICE, sample_rate=RATE)
    assert len(native) > RATE // 10
    assert await door(dia) == native


async def test_kyutais_floats_are_the_native_samples(dia: Server) -> None:
    url = f"{dia.ws_url}/api/tts_streaming?voice={VOICE}"
    samples: list[float] = []
    async with connect(url, proxy=None) as socket:
        for word in TEXT.split():
            await socket.send(msgpack.packb({"type": "Text", "text": word}))
        await socket.send(msgpack.packb({"type": "Eos"}))
        async for raw in socket:
            message = msgpack.unpackb(raw)
            samples += message["pcm"] if message["type"] == "Audio" else ()
    native = await native_audio(dia, TEXT, voice=VOICE, sample_rate=RATE)
    spoken = struct.pack(f"<{len(samples)}h", *(int(32768 * sample) for sample in samples))
    assert spoken[: len(native)] == native
    assert not any(spoken[len(native) :])


async def test_wyoming_sounds_as_the_native_door_at_the_engines_rate(dia: Server) -> None:
    [port] = re.findall(r"tcp://127\.0\.0\.1:(\d+)", dia.logged())
    async with at_port(int(port)) as events:
        await events.send("synthesize-start", voice={"name": VOICE})
        for word in TEXT.split():
            await events.send("synthesize-chunk", text=f"{word} ")
        await events.send("synthesize-stop")
        await events.until("synthesize-stopped")
    assert events.heard[0].data["rate"] == 44100
    assert events.audio() == await native_audio(dia, TEXT, voice=VOICE)


async def test_the_earlier_servers_route_sounds_as_the_native_door(dia: Server) -> None:
    assert await generate(dia) == await native_audio(dia, TEXT, voice=VOICE)
