"""The package `wyoming`, unmodified, used as Home Assistant uses it."""
# ruff: noqa: E402

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from helpers.cuts import pieces_of
from helpers.extra import need
from helpers.foreign import LONG, TEXT, native_audio
from helpers.interruptions import TRIES, Interruptions
from helpers.servers import Server, free_port, running_server

need("wyoming.audio", "wyoming.client", "wyoming.info")

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    server: Server
    port: int

    def client(self) -> AsyncTcpClient:
        return AsyncTcpClient("127.0.0.1", self.port, read_timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    port = free_port()
    log = tmp_path_factory.mktemp("wyoming-client") / "log"
    with running_server(log, "--log-format=json", f"--wyoming-port={port}") as server:
        yield Place(server, port)


async def write(client: AsyncTcpClient, pieces: Iterable[str], voice: SynthesizeVoice | None) -> None:
    """Send a streamed text, then the whole text for servers that do not stream."""
    await client.write_event(SynthesizeStart(voice=voice).event())
    message = ""
    for piece in pieces:
        message += piece
        await client.write_event(SynthesizeChunk(text=piece).event())
    await client.write_event(Synthesize(text=message, voice=voice).event())
    await client.write_event(SynthesizeStop().event())


async def heard(client: AsyncTcpClient, end: type[AudioStop | SynthesizeStopped]) -> tuple[int, bytes]:
    """Read a whole turn; return its sample rate and audio."""
    rate, audio = 0, b""
    while (event := await client.read_event()) is not None and not end.is_type(event.type):
        if AudioStart.is_type(event.type):
            rate = AudioStart.from_event(event).rate
        elif AudioChunk.is_type(event.type):
            audio += AudioChunk.from_event(event).audio
    assert event is not None
    return rate, audio


async def turn(place: Place, pieces: Iterable[str], voice: SynthesizeVoice | None = None) -> bytes:
    """Write and read a turn concurrently, on a new connection."""
    async with place.client() as client, asyncio.TaskGroup() as group:
        group.create_task(write(client, pieces, voice))
        rate, audio = await heard(client, SynthesizeStopped)
    assert rate == 22050
    return audio


@pieces_of(TEXT, "words and a space", "a space and words", "characters", "whole")
async def test_plays_a_whole_turn_however_its_text_is_split(place: Place, pieces: list[str]) -> None:
    audio = await turn(place, pieces)
    native = await native_audio(place.server, TEXT)
    assert len(audio) == pytest.approx(len(native), rel=0.02)
    assert audio == native


async def test_plays_a_text_sent_at_once(place: Place) -> None:
    async with place.client() as client:
        await client.write_event(Synthesize(text=TEXT, voice=SynthesizeVoice(name="luna")).event())
        rate, audio = await heard(client, AudioStop)
    assert rate == 22050
    assert audio == await native_audio(place.server, TEXT, voice="luna")


async def test_disconnecting_frees_the_slot_and_the_next_turn_plays(
    place: Place, interruptions: Interruptions
) -> None:
    wanted = await native_audio(place.server, TEXT)
    for _ in range(TRIES):
        async with place.client() as client:
            await write(client, [LONG], None)
            while not AudioChunk.is_type((await client.read_event()).type):
                pass
            async with interruptions.timed(place.server):
                await client.disconnect()
        assert await turn(place, TEXT.partition("said")) == wanted
    assert interruptions.are_obeyed(), interruptions


async def test_lists_voices(place: Place) -> None:
    async with place.client() as client:
        await client.write_event(Describe().event())
        [program] = Info.from_event(await client.read_event()).tts
        await client.write_event(Ping(text="there?").event())
        assert Pong.from_event(await client.read_event()).text == "there?"
    assert program.supports_synthesize_streaming
    german = next(voice for voice in program.voices if voice.languages == ["de"])
    assert all(voice.installed for voice in program.voices)
    audio = await turn(place, ["Guten Tag."], SynthesizeVoice(name=german.name))
    assert audio == await native_audio(place.server, "Guten Tag.", voice="aria", language="de")


async def test_reports_an_unknown_voice(place: Place) -> None:
    async with place.client() as client:
        await client.write_event(Synthesize(text=TEXT, voice=SynthesizeVoice(name="nobody")).event())
        error = Error.from_event(await client.read_event())
        assert error.code == "unknown_voice"
        assert await client.read_event() is None
