"""`[S1]` and `[S2]` change the voice, with an engine that does not read them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from helpers.foreign import native_audio
from helpers.servers import Server
from helpers.talk import talking

pytestmark = pytest.mark.anyio

DIALOGUE = "[S1] How are you? [S2] Very well, thank you. [S1] Good."
RATE = 24000


async def spoken(server: Server, first: str, second: str) -> bytes:
    """The dialogue, from each voice alone."""
    parts = (("How are you?", first), ("Very well, thank you.", second), ("Good.", first))
    return b"".join([await native_audio(server, text, voice=voice) for text, voice in parts])


@pytest.mark.parametrize(
    ("voice", "voices", "first", "second"),
    [
        ("kai", {"S2": "atlas"}, "kai", "atlas"),
        ("kai", {"S1": "nova", "S2": "atlas"}, "nova", "atlas"),
        ("kai", {"S2": "onyx"}, "kai", "zara"),
        ("kai", None, "kai", "luna"),
        ("luna", {}, "luna", "zara"),
    ],
)
async def test_each_tag_changes_the_voice(
    server: Server, voice: str, voices: dict[str, str] | None, first: str, second: str
) -> None:
    options = {} if voices is None else {"voices": voices}
    async with talking(server.ws_url) as talk:
        assert (await talk.speak(DIALOGUE, voice=voice, words=True, **options))["type"] == "done"
        assert talk.started()["ignored"] == []
        words = [word["text"] for message in talk.of("words") for word in message["words"]]
    assert talk.audio() == await spoken(server, first, second)
    assert words == ["How", "are", "you", "Very", "well", "thank", "you", "Good"]


async def test_text_before_the_first_tag_is_the_chosen_voices(server: Server) -> None:
    audio = await native_audio(server, "Hello. [S1] Good.", voice="kai", voices={"S1": "nova"})
    hello = await native_audio(server, "Hello.", voice="kai")
    assert audio == hello + await native_audio(server, "Good.", voice="nova")


async def test_the_http_doors_take_voices(server: Server) -> None:
    expected = await native_audio(server, DIALOGUE, voice="kai", voices={"S2": "atlas"}, sample_rate=RATE)
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        body: dict[str, Any] = {"voices": {"S2": "atlas"}, "response_format": "pcm"}
        openai = await client.post("/v1/audio/speech", json={"input": DIALOGUE, "voice": "kai", **body})
        generated = await client.post("/generate", json={"text": DIALOGUE, "voice_id": "kai", **body})
    assert openai.content == expected
    assert generated.content == await native_audio(server, DIALOGUE, voice="kai", voices={"S2": "atlas"})


@pytest.mark.parametrize(
    ("voices", "code", "message"),
    [
        ({"S2": "nobody"}, "unknown_voice", "voices.S2: must be the id of a voice"),
        ({"S3": "aria"}, "bad_value", "voices.S3: is not a known field."),
        ({"S2": ""}, "bad_value", "voices.S2: must be a string of 1 to 128 characters."),
        ("aria", "bad_value", "voices: must be an object."),
    ],
)
async def test_invalid_voices_are_refused(server: Server, voices: Any, code: str, message: str) -> None:
    async with talking(server.ws_url) as talk:
        error = await talk.speak(DIALOGUE, voices=voices)
        assert (error["type"], error["code"]) == ("error", code)
        assert message in error["message"]


async def test_each_voice_keeps_its_language_and_speed(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        made = {"voice_id": "hans", "primary_speaker": "S2", "language": "de", "speed": 1.5}
        assert (await client.post("/voice_mappings", json=made)).status_code == 200
        audio = await native_audio(server, "Hello. [S2] Guten Tag.", voice="kai", voices={"S2": "hans"})
        german = await native_audio(server, "Guten Tag.", voice="hans")
        assert audio == await native_audio(server, "Hello.", voice="kai") + german
        assert (await client.delete("/voice_mappings/hans")).status_code == 200
