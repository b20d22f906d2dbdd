"""The lines of the README that point each client here do what they say."""
# ruff: noqa: E402

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from extra import need
from servers import Server, free_port

need("openai", "cartesia", "elevenlabs", "deepgram", "pipecat.services.openai.tts", "livekit.plugins.openai")
need("wyoming.audio")

import aiohttp

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]

README = Path(__file__).parents[2] / "README.md"


def lines_of(client: str, server: Server, wyoming_port: int = 0) -> dict[str, Any]:
    """Run the block that begins with that comment against a server; the names it defines."""
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.M | re.S)
    [block] = [block for block in blocks if block.startswith(f"# {client}")]
    names: dict[str, Any] = {}
    here = block.replace("127.0.0.1:7860", f"127.0.0.1:{server.port}").replace("10200", str(wyoming_port))
    exec(here, names)
    return names


async def test_openai(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines_of("OpenAI", server)
    assert (tmp_path / "hello.mp3").stat().st_size > 2000


async def test_cartesia(server: Server) -> None:
    assert len(lines_of("Cartesia", server)["pcm"]) > 20_000


@pytest.mark.parametrize("client", ["ElevenLabs", "Deepgram"])
async def test_mp3_over_http(server: Server, client: str) -> None:
    assert len(lines_of(client, server)["mp3"]) > 2000


def test_wyoming(start_server: Callable[..., Server]) -> None:
    port = free_port()
    server = start_server(f"--wyoming-port={port}")
    assert len(lines_of("Wyoming", server, port)["pcm"]) > 20_000


async def test_kyutai(server: Server) -> None:
    assert len(lines_of("Kyutai", server)["pcm"]) > 10_000


async def test_pipecat(server: Server) -> None:
    """What comes of each is in its own tests."""
    assert len(lines_of("Pipecat", server)["services"]) == 4


async def test_livekit(server: Server) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        for plugin in lines_of("LiveKit", server)["plugins"]:
            voice = plugin(session)
            events = [event async for event in voice.synthesize("Hello there.")]
            assert sum(event.frame.duration for event in events) > 0.5
            await voice.aclose()
