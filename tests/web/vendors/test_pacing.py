"""Doors that hold audio back to real time, and doors that send it as fast as their clients read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from helpers.events import at_port, wyoming_port
from helpers.foreign import exchanging
from helpers.servers import Server, running_server
from helpers.talk import talking

pytestmark = pytest.mark.anyio

TEXT = "The quick brown fox jumps over the lazy dog near the river bank. " * 2
"""Six seconds or more."""
PACED_S = 5.0
"""Less than TEXT takes when it is sent at most half a second ahead of real time."""


@pytest.fixture(scope="module")
def paced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("paced") / "log"
    with running_server(log, "--max-lead-ms=500", "--paced-doors=cartesia,elevenlabs,deepgram") as server:
        yield server


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("hasty") / "log"
    with running_server(log, "--max-lead-ms=500", "--wyoming-port=0") as server:
        yield server


async def cartesia(server: Server) -> None:
    async with exchanging(f"{server.ws_url}/tts/websocket") as exchange:
        await exchange.send(
            context_id="one",
            model_id="sonic-3",
            transcript=TEXT,
            voice={"mode": "id", "id": "aria"},
            output_format={"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000},
        )
        await exchange.until(lambda message: message["type"] == "done")


async def elevenlabs(server: Server) -> None:
    async with exchanging(f"{server.ws_url}/v1/text-to-speech/aria/stream-input") as exchange:
        await exchange.send(text=" ")
        await exchange.send(text=TEXT)
        await exchange.send(text="")
        await exchange.until(lambda message: message.get("isFinal"))


async def deepgram(server: Server) -> None:
    async with exchanging(f"{server.ws_url}/v1/speak") as exchange:
        await exchange.send(type="Speak", text=TEXT)
        await exchange.send(type="Flush")
        await exchange.until(lambda message: isinstance(message, dict) and message["type"] == "Flushed")


async def wyoming(server: Server) -> None:
    async with at_port(wyoming_port(server)) as events:
        await events.send("synthesize", text=TEXT)
        await events.until("audio-stop")


async def streamed_wyoming(server: Server) -> None:
    async with at_port(wyoming_port(server)) as events:
        await events.send("synthesize-start")
        await events.send("synthesize-chunk", text=TEXT)
        await events.send("synthesize-stop")
        await events.until("synthesize-stopped")


DOORS = [cartesia, elevenlabs, deepgram]


async def took_s(door: Callable[[Server], Any], server: Server) -> float:
    began = time.monotonic()
    await door(server)
    return time.monotonic() - began


@pytest.mark.parametrize("door", [*DOORS, wyoming])
async def test_a_client_that_collects_a_file_gets_it_at_once(hasty: Server, door: Any) -> None:
    """The vendors' own servers send it as fast."""
    assert await took_s(door, hasty) < PACED_S


async def test_text_streamed_over_wyoming_is_paced(hasty: Server) -> None:
    """Its clients play while the text is written."""
    assert await took_s(streamed_wyoming, hasty) > PACED_S


@pytest.mark.parametrize("door", DOORS)
async def test_a_door_is_paced_where_the_operator_says_so(paced: Server, door: Any) -> None:
    assert await took_s(door, paced) > PACED_S


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"text": TEXT, "voice_id": "aria"}),
        ("/v1/audio/speech", {"input": TEXT, "response_format": "wav"}),
        ("/v1/text-to-speech/aria/stream?output_format=pcm_24000", {"text": TEXT}),
        ("/v1/text-to-speech/aria/with-timestamps", {"text": TEXT}),
        ("/v1/speak?encoding=linear16", {"text": TEXT}),
        (
            "/tts/bytes",
            {
                "transcript": TEXT,
                "voice": "aria",
                "output_format": {"container": "wav", "sample_rate": 8000},
            },
        ),
    ],
)
def test_http_is_as_fast_as_its_reader_whatever_is_paced(
    paced: Server, path: str, body: dict[str, Any]
) -> None:
    began = time.monotonic()
    answer = httpx.post(paced.url + path, json=body, timeout=60)
    assert answer.status_code == 200
    assert len(answer.content) > 24_000
    assert time.monotonic() - began < PACED_S


async def test_the_native_websocket_is_paced_unless_a_client_asks_otherwise(hasty: Server) -> None:
    async with talking(hasty.ws_url) as talk:
        began = time.monotonic()
        await talk.speak(TEXT, "ahead", max_lead_ms=60_000)
        assert time.monotonic() - began < PACED_S
        began = time.monotonic()
        await talk.speak(TEXT, "paced")
        assert time.monotonic() - began > PACED_S
