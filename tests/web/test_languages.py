"""The language of a text: told by its script, or asked for, at every door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from helpers.doors import (
    Door,
    cartesia,
    cartesia_http,
    deepgram,
    deepgram_http,
    elevenlabs,
    elevenlabs_http,
    kyutai,
    openai,
    post,
    same,
)
from helpers.doors import native as asked
from helpers.events import at_port, wyoming_port
from helpers.foreign import native_audio
from helpers.servers import Server, running_server
from helpers.talk import talking

pytestmark = pytest.mark.anyio

CHINESE = "今天天气很好。"
GERMAN = "Guten Tag, liebe Leute. *Wie* geht es?"


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
    return await asked(server, text, options)


DOORS = [
    (asked, "lang"),
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


@pytest.mark.parametrize(("door", "name"), DOORS, ids=lambda value: getattr(value, "__name__", value))
async def test_every_door_understands_a_language(server: Server, door: Door, name: str) -> None:
    german = await native(server, GERMAN, language="de")
    assert german != await native(server, GERMAN)
    assert same(await door(server, GERMAN, {name: "de_DE"}), german)
    assert same(await door(server, CHINESE, {name: "auto"}), await native(server, CHINESE, language="zh"))


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


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("name", ["language", "lang", "lang_code", "language_code"])
def test_a_voice_keeps_no_language_that_the_engine_does_not_speak(
    server: Server, method: str, name: str
) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.post("/voice_mappings", json={"voice_id": "hans", "language": "de"}).status_code == 200
        path = "/voice_mappings" if method == "POST" else "/voice_mappings/hans"
        refused = client.request(method, path, json={"voice_id": "hans", name: "tlh"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_value")
        assert "language: the running engine does not speak it." in refused.text
        assert client.get("/voice_mappings").json()["hans"]["language"] == "de"
        assert client.put("/voice_mappings/hans", json={name: "auto"}).status_code == 200
        assert client.put("/voice_mappings/hans", json={name: "en_GB"}).status_code == 200
        assert client.delete("/voice_mappings/hans").status_code == 200
