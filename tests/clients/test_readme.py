"""The client examples of the README and of tests/clients/README.md work."""
# ruff: noqa: E402

from __future__ import annotations

import asyncio
import io
import re
import wave
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.extra import need
from helpers.foreign import native_audio
from helpers.servers import Server, free_port, running_server

need("openai", "cartesia", "elevenlabs", "deepgram", "pipecat.services.openai.tts", "livekit.plugins.openai")
need("wyoming.audio")

import aiohttp
import soundfile
from helpers.pipecat_bot import RATE, bot_of

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).parents[2]
HELLO = "Hello there."


def blocks() -> dict[str, str]:
    """Return the Python blocks for clients, by the first words of their first line."""
    section = re.split(r"^## Works with\s*$", (ROOT / "README.md").read_text(), flags=re.M)[1]
    section = re.split(r"^## ", section, flags=re.M)[0] + Path(__file__).with_name("README.md").read_text()
    found = re.findall(r"^```python\n(.*?)^```", section, flags=re.M | re.S)
    named = {re.split(r"[:;,']", block.partition("\n")[0].removeprefix("# "))[0]: block for block in found}
    assert len(named) == len(found)
    return named


@dataclass(frozen=True, slots=True)
class Place:
    server: Server
    wyoming_port: int


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    port = free_port()
    log = tmp_path_factory.mktemp("readme") / "log"
    with running_server(log, "--log-format=json", f"--wyoming-port={port}") as server:
        yield Place(server, port)


def executed(block: str, place: Place) -> dict[str, Any]:
    """Run a block with its addresses replaced; return the names it defines."""
    here = block.replace("127.0.0.1:7860", f"127.0.0.1:{place.server.port}")
    here = here.replace('"127.0.0.1", 10200', f'"127.0.0.1", {place.wyoming_port}')
    names: dict[str, Any] = {}
    exec(here, names)
    return names


async def a_file_is_written(names: dict[str, Any], server: Server) -> None:
    text = "Text may come in pieces of any size. Speech starts at once."
    with wave.open("out.wav", "rb") as file:
        assert file.readframes(file.getnframes()) == await native_audio(server, text)


async def an_mp3_is_written(names: dict[str, Any], server: Server) -> None:
    await has_same_duration("hello.mp3", server)


async def an_mp3_is_there(names: dict[str, Any], server: Server) -> None:
    await has_same_duration(io.BytesIO(names["mp3"]), server)


async def has_same_duration(mp3: str | io.BytesIO, server: Server) -> None:
    """Apart from the silence that the format adds at both ends."""
    samples, rate = soundfile.read(mp3)
    wanted = await native_audio(server, HELLO, sample_rate=RATE)
    assert len(samples) / rate == pytest.approx(len(wanted) / 2 / RATE, abs=0.15)


async def sound_at_24_khz_is_there(names: dict[str, Any], server: Server) -> None:
    assert names["pcm"] == await native_audio(server, HELLO, sample_rate=RATE)


async def sound_at_the_engines_rate_is_there(names: dict[str, Any], server: Server) -> None:
    assert names["pcm"] == await native_audio(server, HELLO)


async def samples_are_there(names: dict[str, Any], server: Server) -> None:
    wanted = await native_audio(server, HELLO, sample_rate=RATE)
    assert 0 <= len(names["pcm"]) - len(wanted) // 2 < 1920
    assert max(map(abs, names["pcm"])) > 0.1


async def each_service_speaks(names: dict[str, Any], server: Server) -> None:
    assert len(names["services"]) == 4
    wanted = await native_audio(server, HELLO, sample_rate=RATE)
    for service in names["services"]:
        async with bot_of(service) as bot:
            await bot.respond([HELLO])
            await bot.until_spoken()
            assert len(bot.audio) == pytest.approx(len(wanted), rel=0.02)


async def each_plugin_speaks(names: dict[str, Any], server: Server) -> None:
    assert len(names["plugins"]) == 4
    wanted = await native_audio(server, HELLO, sample_rate=RATE)
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        for plugin in names["plugins"]:
            voice = plugin(session)
            events = [event async for event in voice.synthesize(HELLO)]
            seconds = sum(event.frame.duration for event in events)
            assert seconds == pytest.approx(len(wanted) / 2 / RATE, rel=0.02)
            await voice.aclose()


Check = Callable[[dict[str, Any], Server], Coroutine[Any, Any, None]]
CHECKS: dict[str, Check] = {
    "import asyncio": a_file_is_written,
    "OpenAI": an_mp3_is_written,
    "Cartesia": sound_at_24_khz_is_there,
    "ElevenLabs": an_mp3_is_there,
    "Deepgram": an_mp3_is_there,
    "Wyoming": sound_at_the_engines_rate_is_there,
    "Kyutai": samples_are_there,
    "Pipecat": each_service_speaks,
    "LiveKit Agents": each_plugin_speaks,
}
"""The check for each block."""


@pytest.mark.parametrize("client", blocks())
def test_every_block_works(
    place: Place, client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block without a check fails."""
    monkeypatch.chdir(tmp_path)
    names = executed(blocks()[client], place)
    asyncio.run(CHECKS[client](names, place.server))


def test_every_client_has_a_block() -> None:
    assert set(blocks()) == set(CHECKS)
