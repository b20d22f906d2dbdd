"""Every protocol returns the same PCM for the same text and voice, with every engine and at any speed."""

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
RATE = 24000
VOICES = {"greedy": {"temperature": 0.0}, "brisk": {"temperature": 0.0, "speed": 1.2}}
"""Without chance; eSpeak NG speaks faster by itself, Dia's audio is stretched."""


@pytest.fixture(scope="module", params=["espeak", "dia"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server for each engine; Dia is tiny with random weights."""
    folder = tmp_path_factory.mktemp(request.param)
    options = options_of(folder) if request.param == "dia" else ("--engine=espeak",)
    with running_server(folder / "log", *options, "--wyoming-port=0") as server:
        for voice, defaults in VOICES.items():
            made = httpx.post(f"{server.url}/voice_mappings", json={"voice_id": voice, **defaults})
            assert made.status_code == 200, made.text
        yield server


@pytest.fixture(params=VOICES)
def voice(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


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
async def test_every_protocol_equals_the_native_websocket(
    server: Server, voice: str, door: Callable[[Server, str], Awaitable[bytes]]
) -> None:
    native = await native_audio(server, TEXT, voice=voice, sample_rate=RATE)
    assert len(native) > RATE // 10
    assert await door(server, voice) == native


async def test_kyutais_floats_are_the_native_samples(server: Server, voice: str) -> None:
    url = f"{server.ws_url}/api/tts_streaming?voice={voice}"
    samples: list[float] = []
    async with connect(url, proxy=None) as socket:
        for word in TEXT.split():
            await socket.send(msgpack.packb({"type": "Text", "text": word}))
        await socket.send(msgpack.packb({"type": "Eos"}))
        async for raw in socket:
            message = msgpack.unpackb(raw)
            samples += message["pcm"] if message["type"] == "Audio" else ()
    native = await native_audio(server, TEXT, voice=voice, sample_rate=RATE)
    spoken = struct.pack(f"<{len(samples)}h", *(int(32768 * sample) for sample in samples))
    assert spoken[: len(native)] == native
    assert not any(spoken[len(native) :])


async def test_wyoming_equals_the_native_websocket_at_the_engines_rate(server: Server, voice: str) -> None:
    [port] = re.findall(r"tcp://127\.0\.0\.1:(\d+)", server.logged())
    async with at_port(int(port)) as events:
        await events.send("synthesize-start", voice={"name": voice})
        for word in TEXT.split():
            await events.send("synthesize-chunk", text=f"{word} ")
        await events.send("synthesize-stop")
        await events.until("synthesize-stopped")
    assert events.heard[0].data["rate"] in (22050, 44100)
    assert events.audio() == await native_audio(server, TEXT, voice=voice)


async def test_the_earlier_servers_route_equals_the_native_websocket(server: Server, voice: str) -> None:
    assert await generate(server, voice) == await native_audio(server, TEXT, voice=voice)


async def test_speed_shortens_the_audio(server: Server) -> None:
    greedy, brisk = [len(await native_audio(server, TEXT, voice=voice)) for voice in VOICES]
    assert greedy / brisk == pytest.approx(1.2, rel=0.1)
