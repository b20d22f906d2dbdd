"""Text processing in every protocol, with quotes of the text as the client wrote it."""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from helpers.foreign import exchanging
from helpers.servers import Server
from helpers.talk import talking

pytestmark = pytest.mark.anyio

WRITTEN = "**It** costs $3.50 &amp; 5 km 😀."
SPOKEN = "It costs three dollars and fifty cents and five kilometers ."
PAUSE = 'One.<break time="1.5s"/>Two.'


async def native(server: Server, text: str, **options: Any) -> Any:
    async with talking(server.ws_url) as talk:
        end = await talk.speak(text, sample_rate=24000, **options)
        assert end["type"] == "done"
        return talk


async def test_native_websocket(server: Server) -> None:
    talk = await native(server, WRITTEN, words=True)
    plain = await native(server, SPOKEN, text_processing=False)
    assert talk.audio() == plain.audio()
    assert [s["text"] for s in talk.of("sentence")] == [WRITTEN]
    words = [word for message in talk.of("words") for word in message["words"]]
    assert [word["text"] for word in words] == ["It", "costs", "$3.50", "&amp;", "5 km"]
    for word in words:
        assert word["text"] == WRITTEN[word["start"] : word["end"]]
        assert word["start_ms"] <= word["end_ms"]


async def test_a_pause_is_silence_of_exactly_that_length(server: Server) -> None:
    pause = np.frombuffer((await native(server, PAUSE)).audio(), "<i2")
    one = np.frombuffer((await native(server, "One.")).audio(), "<i2")
    two = np.frombuffer((await native(server, "Two.")).audio(), "<i2")
    assert abs(len(pause) - len(one) - len(two) - 36000) <= 4
    assert not pause[len(one) + 4 : len(one) + 35990].any()


@pytest.mark.parametrize("speed", [0.8, 2.0])
async def test_prosody_equals_the_options_of_a_voice(server: Server, speed: float) -> None:
    """At a speed of the engine and at one that takes the tempo stage."""
    text = f'<prosody rate="{speed:.0%}" pitch="+12st">Hello there.</prosody> And on.'
    heard = (await native(server, text)).audio()
    quick = (await native(server, "Hello there.", speed=speed, pitch=2.0)).audio()
    assert heard == quick + (await native(server, "And on.")).audio()


async def test_text_processing_can_be_disabled(server: Server) -> None:
    talk = await native(server, "**It** <b>is</b>.", words=True, text_processing=False)
    assert talk.audio() != (await native(server, "It is.")).audio()


async def test_code_and_emoji_are_spoken_with_the_flags(
    server: Server, start_server: Callable[..., Server]
) -> None:
    text = "Hi 😀 there.\n\n```\nprint hello\n```\n"
    speaking = start_server("--speak-code", "--name-emoji", "--max-workers=1")
    heard = []
    for one in (server, speaking):
        talk = await native(one, text, words=True)
        heard.append([word["text"] for message in talk.of("words") for word in message["words"]])
    assert heard == [["Hi", "there"], ["Hi", "😀", "there", "print", "hello"]]


async def test_cancelled_quotes_the_clients_text(server: Server) -> None:
    text = "**Bold** words cost $3.50. " * 20
    async with talking(server.ws_url) as talk:
        await talk.send("text", text=text)
        await talk.first_frame()
        await talk.send("cancel")
        end = await talk.until("cancelled")
    assert end["text_spoken"] + end["text_remaining"] == text


@pytest.mark.parametrize("cut", [None, 1, 5])
async def test_cartesia_websocket(server: Server, cut: int | None) -> None:
    message = {
        "context_id": "one",
        "model_id": "sonic-3",
        "voice": {"mode": "id", "id": "aria"},
        "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000},
        "add_timestamps": True,
    }
    text = WRITTEN + " " + PAUSE
    deltas = [text[at : at + cut] for at in range(0, len(text), cut)] if cut else [text]
    async with exchanging(f"{server.ws_url}/tts/websocket?cartesia_version=2025-04-16") as exchange:
        for delta in deltas:
            await exchange.send(**message, transcript=delta, **{"continue": True})
        await exchange.send(**message, transcript="", **{"continue": False})
        assert (await exchange.until(lambda m: m["type"] in ("done", "error")))["type"] == "done"
    audio = b"".join(b64decode(m["data"]) for m in exchange.told if m["type"] == "chunk")
    assert audio == (await native(server, text)).audio()
    words = [w for m in exchange.told if m["type"] == "timestamps" for w in m["word_timestamps"]["words"]]
    assert "$3.50" in words
    assert words[-2:] == ["One.", "Two."]


async def test_http(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        body = {"voice": "aria", "response_format": "pcm"}
        written = await client.post("/v1/audio/speech", json={"input": WRITTEN, **body})
        spoken = await client.post(
            "/v1/audio/speech", json={"input": SPOKEN, "text_processing": False, **body}
        )
        generated = await client.post("/generate", json={"text": WRITTEN, "voice_id": "aria"})
    assert written.content == spoken.content == (await native(server, WRITTEN)).audio()
    sound, rate = soundfile.read(io.BytesIO(generated.content), dtype="int16")
    assert len(sound) / rate == pytest.approx(len(written.content) / 2 / 24000, abs=0.05)
