"""Voices and formats that clients write in other ways than the server does, at every kind of door."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgpack
import pytest
from helpers.events import at_port, wyoming_port
from helpers.foreign import exchanging
from helpers.rest import to
from helpers.servers import Server, running_server
from helpers.talk import talking
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.anyio

FOREIGN = "21m00Tcm4TlvDq8ikWAM"
"""A voice id of ElevenLabs."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which the default voice stands in for unknown voices."""
    log = tmp_path_factory.mktemp("choices") / "log"
    with running_server(log, "--max-workers=1", "--unknown-voice=default", "--wyoming-port=0") as server:
        yield server


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that refuses unknown voices and needs a key."""
    log = tmp_path_factory.mktemp("strict") / "log"
    options = (
        "--max-workers=1",
        "--api-keys=secret",
        "--wyoming-port=0",
        "--voice-aliases=alloy=aria,boss=kai",
    )
    with running_server(log, *options) as server:
        yield server


def cartesia(voice: str, **form: Any) -> dict[str, Any]:
    output = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000, **form}
    return {"transcript": "Hi.", "voice": {"mode": "id", "id": voice}, "output_format": output}


SPOKEN = [
    ("/generate", {"text": "Hi.", "voice_id": "Alloy", "response_format": " WAV "}, "audio/wav"),
    ("/generate", {"text": "Hi.", "voice_id": "aria ", "response_format": "ogg"}, "audio/ogg"),
    ("/v1/audio/speech", {"input": "Hi.", "voice": "NOVA", "response_format": "MP3"}, "audio/mpeg"),
    ("/v1/audio/speech", {"input": "Hi.", "voice": " Luna", "response_format": "Ogg"}, "audio/ogg"),
    ("/v1/audio/speech", {"input": "Hi.", "voice": "kai", "stream_format": "SSE "}, "text/event-stream"),
    ("/tts/bytes", cartesia("Aria", container="WAV", encoding="PCM_S16LE"), "audio/wav"),
    ("/v1/speak?model=Kai&encoding=MP3", {"text": "Hi."}, "audio/mpeg"),
    ("/v1/speak?model=Aura-2-Zara-EN&encoding=Opus&container=OGG", {"text": "Hi."}, "audio/ogg"),
    ("/v1/text-to-speech/ARIA?output_format=MP3_44100_128", {"text": "Hi."}, "audio/mpeg"),
]


@pytest.mark.parametrize(("path", "body", "kind"), SPOKEN)
def test_names_match_in_any_case(strict: Server, path: str, body: dict[str, Any], kind: str) -> None:
    with to(strict) as client:
        answer = client.post(path, json=body, headers={"Authorization": "Bearer secret"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(kind)


@pytest.mark.parametrize("name", ["TTS-1", "tts-1%20"])
def test_models_match_in_any_case(strict: Server, name: str) -> None:
    with to(strict) as client:
        assert client.get(f"/v1/models/{name}").json()["id"] == "tts-1"


UNKNOWN = [
    ("/generate", {"text": "Hi.", "voice_id": FOREIGN}),
    ("/v1/audio/speech", {"input": "Hi.", "voice": FOREIGN}),
    ("/tts/bytes", cartesia("a0e99841-438c-4a64-b679-ae501e7d6091")),
    ("/tts/bytes", cartesia("") | {"voice": {"mode": "embedding", "embedding": [0.1] * 192}}),
    ("/v1/speak?model=somebody", {"text": "Hi."}),
    (f"/v1/text-to-speech/{FOREIGN}", {"text": "Hi."}),
]


@pytest.mark.parametrize(("path", "body"), UNKNOWN)
def test_the_default_voice_replaces_unknown_voices_over_http(
    server: Server, path: str, body: dict[str, Any]
) -> None:
    with to(server) as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) > 1000
    server.until_logged("unknown voice")


@pytest.mark.parametrize(("path", "body"), UNKNOWN)
def test_an_error_lists_voices_and_aliases_for_those_with_a_key(
    strict: Server, path: str, body: dict[str, Any]
) -> None:
    with to(strict) as client:
        locked = client.post(path, json=body)
        answer = client.post(path, json=body, headers={"Authorization": "Bearer secret"})
    assert (locked.status_code, answer.status_code) == (401, 404)
    assert "boss" not in locked.text
    assert re.search(r"there are aria, .*; aliases are alloy, boss\.", answer.text)


def test_aliases_of_the_operator_are_listed_to_those_with_a_key(strict: Server) -> None:
    with to(strict) as client:
        path = "/v1/audio/voices?legacy=true"
        assert "boss" not in client.get(path).json()["voices"]
        assert "alloy" in client.get(path).json()["voices"]
        assert "boss" in client.get(path, headers={"Authorization": "Bearer secret"}).json()["voices"]


async def test_the_native_websocket_tells_which_voice_speaks(server: Server) -> None:
    async with talking(server.ws_url) as talk:
        await talk.speak("Hi.", context="one", voice=FOREIGN, encoding="PCM_S16LE")
        await talk.speak("Hi.", context="two", voice="Zara")
    assert [event["voice"] for event in talk.events if event["type"] == "started"] == ["aria", "Zara"]


async def test_the_default_voice_replaces_unknown_voices_on_vendors_websockets(server: Server) -> None:
    async with exchanging(f"{server.ws_url}/v1/text-to-speech/{FOREIGN}/stream-input") as exchange:
        await exchange.send(text="Hi. ")
        await exchange.send(text="")
        assert await exchange.until(lambda message: message.get("isFinal"))
    async with exchanging(f"{server.ws_url}/tts/websocket") as exchange:
        await exchange.send(**cartesia(FOREIGN), context_id="one")
        assert (await exchange.until(lambda message: message["done"]))["type"] == "done"
    async with exchanging(f"{server.ws_url}/v1/speak?model=somebody") as exchange:
        warning = await exchange.until(lambda message: message["type"] == "Warning")
        assert warning["code"] == "UNKNOWN_MODEL"
    async with connect(f"{server.ws_url}/api/tts_streaming?voice={FOREIGN}", proxy=None) as socket:
        assert msgpack.unpackb(await socket.recv()) == {"type": "Ready"}


async def test_the_default_voice_replaces_unknown_voices_of_wyoming(server: Server) -> None:
    async with at_port(wyoming_port(server)) as events:
        await events.send("synthesize", text="Hi.", voice={"name": FOREIGN})
        await events.until("audio-stop")
        assert events.audio()


async def test_wyoming_has_no_private_voices_where_there_are_keys(strict: Server) -> None:
    """Its clients have no key: a voice of somebody's is as unknown to them as one that does not exist."""
    with to(strict) as client:
        made = client.post(
            "/voice_mappings",
            json={"voice_id": "private", "style": "friendly"},
            headers={"Authorization": "Bearer secret"},
        )
        assert made.status_code == 200, made.text
    answers = []
    for name in ("private", "PRIVATE", "private@en", "boss", "nobody"):
        async with at_port(wyoming_port(strict)) as events:
            await events.send("describe")
            [program] = (await events.until("info")).data["tts"]
            assert "aria" in (names := {voice["name"] for voice in program["voices"]})
            assert "private" not in names
            await events.send("synthesize", text="Hi.", voice={"name": name})
            answers.append((await events.until("error")).data)
    assert all(answer == answers[0] for answer in answers)


async def test_wyoming_has_every_voice_where_there_are_no_keys(server: Server) -> None:
    with to(server) as client:
        client.post("/voice_mappings", json={"voice_id": "ours", "style": "friendly"})
    async with at_port(wyoming_port(server)) as events:
        await events.send("describe")
        [program] = (await events.until("info")).data["tts"]
        assert "ours" in {voice["name"] for voice in program["voices"]}


async def test_wyoming_errors_reveal_no_voices(strict: Server) -> None:
    async with at_port(wyoming_port(strict)) as events:
        await events.send("synthesize", text="Hi.", voice={"name": "nobody"})
        error = await events.until("error")
        assert error.data["code"] == "unknown_voice"
        assert "boss" not in error.data["text"]


@pytest.mark.parametrize("path", ["multi-stream-input", "stream-input"])
async def test_elevenlabs_websockets_reveal_no_voices_without_a_key(strict: Server, path: str) -> None:
    url = f"{strict.ws_url}/v1/text-to-speech/nobody/{path}"
    with pytest.raises(InvalidStatus) as wrong:
        await connect(url, additional_headers={"xi-api-key": "wrong"}, proxy=None)
    assert wrong.value.response.status_code == 401
    assert b"aria" not in wrong.value.response.body
    async with exchanging(url) as exchange:
        await exchange.send(text=" ", xi_api_key="wrong")
        await exchange.closed()
        assert "aria" not in str(exchange.told)
    async with exchanging(url) as exchange:
        await exchange.send(text=" ", xi_api_key="secret")
        await exchange.closed()
        assert "boss" in str(exchange.told)


def test_voices_are_managed_by_their_own_ids_alone(server: Server) -> None:
    """The default voice does not stand in where a voice is looked up, previewed or deleted."""
    assert httpx.get(f"{server.url}/preview/{FOREIGN}").status_code == 404
    assert httpx.get(f"{server.url}/v1/voices/{FOREIGN}").status_code == 404
    assert httpx.delete(f"{server.url}/voice_mappings/{FOREIGN}").status_code == 404
