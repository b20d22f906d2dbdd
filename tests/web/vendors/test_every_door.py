"""Every protocol returns the same PCM for the same text and voice, with every engine and at any speed."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from helpers.doors import EQUAL_IN_ANY_VOICE, RATE, TEXT, VoiceDoor, generate, kyutai, native
from helpers.events import at_port, wyoming_port
from helpers.foreign import native_audio
from helpers.servers import Server, running_server
from helpers.tiny_dia import options_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(180),
]

VOICES = {"greedy": {"temperature": 0.0}, "brisk": {"temperature": 0.0, "speed": 1.2}}
"""Without chance; hibari and eSpeak NG speak faster by themselves, Dia's audio is stretched."""


@pytest.fixture(scope="module", params=["hibari", "espeak", "dia"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server for each engine; Dia is tiny with random weights."""
    folder = tmp_path_factory.mktemp(request.param)
    options = options_of(folder) if request.param == "dia" else (f"--engine={request.param}",)
    with running_server(folder / "log", *options, "--wyoming-port=0") as server:
        for voice, defaults in VOICES.items():
            made = httpx.post(f"{server.url}/voice_mappings", json={"voice_id": voice, **defaults})
            assert made.status_code == 200, made.text
        yield server


@pytest.fixture(params=VOICES)
def voice(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("door", EQUAL_IN_ANY_VOICE, ids=lambda door: door.__name__)
async def test_every_protocol_equals_the_native_websocket(
    server: Server, voice: str, door: VoiceDoor
) -> None:
    expected = await native(server, TEXT, {}, voice)
    assert len(expected) > RATE // 10
    assert await door(server, TEXT, {}, voice) == expected


async def test_kyutais_floats_are_the_native_samples(server: Server, voice: str) -> None:
    spoken = await kyutai(server, TEXT, {}, voice)
    expected = await native(server, TEXT, {}, voice)
    assert spoken[: len(expected)] == expected
    assert not any(spoken[len(expected) :])


async def test_wyoming_equals_the_native_websocket_at_the_engines_rate(server: Server, voice: str) -> None:
    async with at_port(wyoming_port(server)) as events:
        await events.send("synthesize-start", voice={"name": voice})
        for word in TEXT.split():
            await events.send("synthesize-chunk", text=f"{word} ")
        await events.send("synthesize-stop")
        await events.until("synthesize-stopped")
    assert events.heard[0].data["rate"] in (22050, 24000, 44100)
    assert events.audio() == await native_audio(server, TEXT, voice=voice)


async def test_the_earlier_servers_route_equals_the_native_websocket(server: Server, voice: str) -> None:
    assert await generate(server, TEXT, {}, voice) == await native_audio(server, TEXT, voice=voice)


async def test_speed_shortens_the_audio(server: Server) -> None:
    greedy, brisk = [len(await native_audio(server, TEXT, voice=voice)) for voice in VOICES]
    assert greedy / brisk == pytest.approx(1.2, rel=0.05)
