"""The language of a text: told by its script, or asked for, at every door."""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import msgpack
import pytest
from helpers.events import at_port, wyoming_port
from helpers.foreign import exchanging, native_audio
from helpers.servers import Server, running_server
from helpers.talk import talking
from websockets.asyncio.client import connect

pytestmark = pytest.mark.anyio

CHINESE = "今天天气很好。"
GERMAN = "Guten Tag, liebe Leute. *Wie* geht es?"
RATE = 24000
AUDIO = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": RATE}
PLAIN = {"text_processing": False}

Door = Callable[[Server, str, dict[str, Any]], Awaitable[bytes]]
Fields = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("languages") / "log"
    with running_server(log, "--engine=espeak", "--wyoming-port=0") as server:
        yield server


@pytest.fixture(scope="module")
def natural(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("natural") / "log", "--engine=auto") as server:
        yield server


async def native(server: Server, text: str, **options: Any) -> bytes:
    return await native_audio(server, text, **{"voice": "aria", "sample_rate": RATE, **options})


async def post(server: Server, path: str, body: Fields, query: Fields | None = None) -> bytes:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        answer = await client.post(path, json=body, params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


async def openai(server: Server, text: str, fields: Fields) -> bytes:
    return await post(server, "/v1/audio/speech", {"input": text, "response_format": "pcm", **fields})


async def elevenlabs_http(server: Server, text: str, fields: Fields) -> bytes:
    path = f"/v1/text-to-speech/aria/stream?output_format=pcm_{RATE}"
    return await post(server, path, {"text": text, **fields})


async def deepgram_http(server: Server, text: str, fields: Fields) -> bytes:
    query = {"model": "aria", "encoding": "linear16", "container": "none", "sample_rate": RATE, **fields}
    return await post(server, "/v1/speak", {"text": text}, query)


async def cartesia_http(server: Server, text: str, fields: Fields) -> bytes:
    body = {"transcript": text, "voice": {"id": "aria"}, "output_format": AUDIO, **fields}
    return await post(server, "/tts/bytes", body)


async def cartesia(server: Server, text: str, fields: Fields) -> bytes:
    async with exchanging(f"{server.ws_url}/tts/websocket") as exchange:
        message = {"transcript": text, "voice": {"id": "aria"}, "output_format": AUDIO, "context_id": "one"}
        await exchange.send(**message, **fields)
        await exchange.until(lambda m: m["done"])
    return b"".join(b64decode(m["data"]) for m in exchange.told if m["type"] == "chunk")


async def elevenlabs(server: Server, text: str, fields: Fields) -> bytes:
    query = httpx.QueryParams({"output_format": f"pcm_{RATE}", **fields})
    async with exchanging(f"{server.ws_url}/v1/text-to-speech/aria/stream-input?{query}") as exchange:
        await exchange.send(text=f"{text} ")
        await exchange.send(text="")
        await exchange.until(lambda m: m.get("isFinal"))
    return b"".join(b64decode(m["audio"]) for m in exchange.told if m.get("audio"))


async def deepgram(server: Server, text: str, fields: Fields) -> bytes:
    query = httpx.QueryParams({"model": "aria", "sample_rate": RATE, **fields})
    async with exchanging(f"{server.ws_url}/v1/speak?{query}") as exchange:
        await exchange.send(type="Speak", text=text)
        await exchange.send(type="Flush")
        await exchange.until(lambda m: isinstance(m, dict) and m["type"] == "Flushed")
    return b"".join(m for m in exchange.heard if isinstance(m, bytes))


async def kyutai(server: Server, text: str, fields: Fields) -> bytes:
    samples: list[float] = []
    url = f"{server.ws_url}/api/tts_streaming?{httpx.QueryParams({'voice': 'aria', **fields})}"
    async with connect(url, proxy=None) as socket:
        await socket.send(msgpack.packb({"type": "Text", "text": text}))
        await socket.send(msgpack.packb({"type": "Eos"}))
        async for raw in socket:
            message = msgpack.unpackb(raw)
            samples += message["pcm"] if message["type"] == "Audio" else ()
    return struct.pack(f"<{len(samples)}h", *(int(32768 * sample) for sample in samples))


DOORS = [
    ("native", "lang"),
    (openai, "language"),
    (openai, "lang_code"),
    (elevenlabs_http, "language_code"),
    (elevenlabs, "language_code"),
    (elevenlabs, "lang"),
    (cartesia_http, "language"),
    (cartesia, "language"),
    (deepgram_http, "language"),
    (deepgram, "lang"),
    (kyutai, "language"),
]


async def heard(door: Door | str, server: Server, text: str, fields: Fields) -> bytes:
    if isinstance(door, str):
        return await native(server, text, **fields)
    return await door(server, text, fields)


@pytest.mark.parametrize(("door", "name"), DOORS, ids=lambda value: getattr(value, "__name__", value))
async def test_every_door_understands_a_language(server: Server, door: Door | str, name: str) -> None:
    german = await native(server, GERMAN, language="de")
    assert german != await native(server, GERMAN)
    assert same(await heard(door, server, GERMAN, {name: "de_DE"}), german)
    assert same(
        await heard(door, server, CHINESE, {name: "auto"}), await native(server, CHINESE, language="zh")
    )


@pytest.mark.parametrize("door", dict(DOORS), ids=lambda value: getattr(value, "__name__", value))
async def test_every_door_can_leave_text_unprocessed(server: Server, door: Door | str) -> None:
    plain = await native(server, "*One* and 2*3.", **PLAIN)
    assert plain != await native(server, "*One* and 2*3.")
    asked = {"text_processing": "false"} if door in (elevenlabs, deepgram, deepgram_http, kyutai) else PLAIN
    assert same(await heard(door, server, "*One* and 2*3.", asked), plain)


def same(audio: bytes, expected: bytes) -> bool:
    """Return whether the audio is as expected; some doors fill their last frame with silence."""
    return audio[: len(expected)] == expected and not any(audio[len(expected) :])


@pytest.mark.parametrize("path", ["/generate", "/api/tts/generate"])
async def test_the_earlier_servers_routes_understand_a_language(server: Server, path: str) -> None:
    body = {"text": GERMAN, "voice_id": "aria"}
    german = await post(server, path, {**body, "language_code": "de"})
    assert german != await post(server, path, body)
    assert german[44:] == await native_audio(server, GERMAN, voice="aria", language="de")


async def test_wyoming_understands_a_language(server: Server) -> None:
    for text, language, expected in ((GERMAN, "de_DE", "de"), (CHINESE, "auto", "zh")):
        async with at_port(wyoming_port(server)) as events:
            await events.send("synthesize", text=text, voice={"language": language})
            await events.until("audio-stop")
        assert events.audio() == await native_audio(server, text, voice="aria", language=expected)


async def test_each_sentence_is_spoken_in_the_language_of_its_script(server: Server) -> None:
    texts = {"Good morning.": "en", CHINESE: "zh", "Hello.": "en", "안녕하세요.": "ko"}
    expected = [await native_audio(server, text, language=language) for text, language in texts.items()]
    async with talking(server.ws_url) as talk:
        end = await talk.speak(" ".join(texts))
        assert end["type"] == "done"
        assert [sentence["text"] for sentence in talk.of("sentence")] == list(texts)
    assert talk.audio() == b"".join(expected)


async def test_the_natural_engine_leaves_other_scripts_to_espeak(natural: Server) -> None:
    assert await native(natural, CHINESE) == await native(natural, CHINESE, language="zh")
    english = await native(natural, "Good morning.")
    assert english == await native(natural, "Good morning.", language="en")
    mixed = await native(natural, f"Good morning. {CHINESE}")
    assert mixed[: len(english)] == english
    assert len(mixed) > len(english)


async def test_auto_is_never_ignored(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.speak("Hello.", language="auto")
        assert talk.started()["ignored"] == []


async def test_a_voice_keeps_its_language(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        made = await client.post("/voice_mappings", json={"voice_id": "greta", "lang_code": "de"})
        assert made.json()["voice_config"]["language"] == "de"
        german = await native(server, GERMAN, language="de")
        assert await native(server, GERMAN, voice="greta") == german
        assert await native(server, GERMAN, voice="greta", language="auto") == german
        assert await native(server, CHINESE, voice="greta") == await native(server, CHINESE, language="zh")
        assert await native(server, GERMAN, voice="greta", language="en") == await native(server, GERMAN)
        changed = await client.put("/voice_mappings/greta", json={"language": None})
        assert changed.json()["voice_config"]["language"] is None
        assert await native(server, GERMAN, voice="greta") == await native(server, GERMAN)
        refused = await client.put("/voice_mappings/greta", json={"language": "E!"})
        assert refused.status_code == 422
        assert "a language tag" in refused.text
        assert (await client.delete("/voice_mappings/greta")).status_code == 200
