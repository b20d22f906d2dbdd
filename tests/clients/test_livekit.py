"""LiveKit Agents' own plugins, unmodified, pointed at this server."""
# ruff: noqa: E402

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers.cuts import cut, pieces_of
from helpers.extra import need
from helpers.foreign import ENDLESS, LONG, TEXT, kill_worker, native_audio
from helpers.interruptions import TRIES, Interruptions, asking, in_hand
from helpers.servers import Server, until
from helpers.talk import native_words

need(
    "livekit.agents",
    "livekit.plugins.cartesia",
    "livekit.plugins.deepgram",
    "livekit.plugins.elevenlabs",
    "livekit.plugins.openai",
)

import aiohttp
from livekit.agents import APIConnectOptions, APIError, tts
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT
from livekit.plugins import cartesia, deepgram, elevenlabs, openai

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]

RATE = 24000
LONGER = f"{TEXT} {TEXT}"
"""Long enough to make the silence around mp3 negligible."""
WORDS = cut(TEXT)["a space and words"]

Plugin = Callable[[Server, aiohttp.ClientSession], tts.TTS]


def of_cartesia(server: Server, session: aiohttp.ClientSession) -> tts.TTS:
    return cartesia.TTS(api_key="x", base_url=server.url, voice="aria", http_session=session)


def of_elevenlabs(server: Server, session: aiohttp.ClientSession) -> tts.TTS:
    return elevenlabs.TTS(
        api_key="x",
        base_url=f"{server.url}/v1",
        voice_id="aria",
        encoding="pcm_24000",
        http_session=session,
    )


def of_elevenlabs_as_it_comes(server: Server, session: aiohttp.ClientSession) -> tts.TTS:
    """Uses mp3, the plugin's default format."""
    return elevenlabs.TTS(api_key="x", base_url=f"{server.url}/v1", voice_id="aria", http_session=session)


def of_deepgram(server: Server, session: aiohttp.ClientSession) -> tts.TTS:
    return deepgram.TTS(api_key="x", base_url=f"{server.url}/v1/speak", model="aria", http_session=session)


def of_openai(server: Server, session: aiohttp.ClientSession) -> tts.TTS:
    return openai.TTS(api_key="x", base_url=f"{server.url}/v1", voice="aria", response_format="pcm")


def of_openai_by_sentences(server: Server, session: aiohttp.ClientSession) -> tts.TTS:
    """Streams the text by sentences, as an agent does."""
    return tts.StreamAdapter(tts=of_openai(server, session))


PLUGINS: list[Plugin] = [of_cartesia, of_elevenlabs, of_deepgram]


@asynccontextmanager
async def plugged(plugin: Plugin, server: Server) -> AsyncIterator[tts.TTS]:
    async with aiohttp.ClientSession() as session:
        voice = plugin(server, session)
        yield voice
        await voice.aclose()
        if isinstance(voice, tts.StreamAdapter):
            await voice._wrapped_tts.aclose()


async def say(voice: tts.TTS, pieces: list[str]) -> list[tts.SynthesizedAudio]:
    """Send a reply in pieces and return its audio."""
    async with aclosing(voice.stream()) as stream:
        for piece in pieces:
            stream.push_text(piece)
        stream.end_input()
        async with asyncio.timeout(20):
            return [event async for event in stream]


def audio(events: list[tts.SynthesizedAudio]) -> bytes:
    return b"".join(bytes(event.frame.data) for event in events)


async def spoken(server: Server, plugin: Plugin, text: str) -> bytes:
    """Return the native websocket's audio, in the language that the plugin requests."""
    options = {"language": "en"} if plugin is of_cartesia else {}
    return await native_audio(server, text, sample_rate=RATE, **options)


@pieces_of(TEXT, "a space and words", "words and a space", "characters", "whole")
@pytest.mark.parametrize("plugin", PLUGINS)
async def test_plays_a_whole_turn_however_its_text_is_split(
    server: Server, plugin: Plugin, pieces: list[str]
) -> None:
    """Deepgram's plugin sends it word by word, the others sentence by sentence."""
    async with plugged(plugin, server) as voice:
        events = await say(voice, pieces)
    assert {event.frame.sample_rate for event in events} == {RATE}
    wanted = await spoken(server, plugin, TEXT)
    assert is_just(wanted, events)
    assert len(audio(events)) == pytest.approx(len(wanted), rel=0.02)


@pieces_of(TEXT, "a space and words", "characters")
async def test_openai_plugin_plays_a_turn_sentence_by_sentence(server: Server, pieces: list[str]) -> None:
    async with plugged(of_openai_by_sentences, server) as voice:
        heard = np.frombuffer(audio(await say(voice, pieces)), np.int16)
    wanted = np.frombuffer(await native_audio(server, TEXT, sample_rate=RATE), np.int16)
    assert len(heard) == pytest.approx(len(wanted), rel=0.02)
    assert np.array_equal(heard[heard != 0], wanted[wanted != 0])  # Each sentence ends with some silence.


async def test_mp3_has_the_same_duration(server: Server) -> None:
    async with plugged(of_elevenlabs_as_it_comes, server) as voice:
        events = await say(voice, cut(LONGER)["a space and words"])
    seconds = sum(event.frame.duration for event in events)
    wanted = await native_audio(server, LONGER, sample_rate=RATE)
    assert seconds == pytest.approx(len(wanted) / 2 / RATE, rel=0.02)


@pytest.mark.parametrize("plugin", [of_cartesia, of_elevenlabs])
async def test_word_times_are_spread_over_the_audio(server: Server, plugin: Plugin) -> None:
    async with plugged(plugin, server) as voice:
        events = await say(voice, WORDS)
    words = [word for event in events for word in event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]
    assert "".join(words).split() == TEXT.split()
    starts = [word.start_time for word in words]
    assert all(before < after for before, after in pairwise(starts))
    assert all(word.start_time < word.end_time for word in words)
    assert words[-1].end_time <= len(audio(events)) / 2 / RATE + 0.001
    spoken_at = [word["start_ms"] / 1000 for word in await native_words(server.ws_url, TEXT)]
    assert starts == pytest.approx(spoken_at, abs=0.03)


@pytest.mark.parametrize("whole", [True, False], ids=["written", "being written"])
@pytest.mark.parametrize("plugin", [of_cartesia, of_deepgram])
async def test_a_barge_in_leaves_no_stale_audio_and_the_next_turn_plays(
    server: Server, plugin: Plugin, whole: bool, interruptions: Interruptions
) -> None:
    """These plugins keep a finished connection open until they need the next one."""
    wanted = await spoken(server, plugin, TEXT)
    async with plugged(plugin, server) as voice:
        for _ in range(TRIES):
            stream = await amid_a_turn(voice, whole=whole)
            async with interruptions.timed_with_the_next_turn(server):
                await stream.aclose()
                assert is_just(wanted, await say(voice, WORDS))
    assert interruptions.are_obeyed(), interruptions


async def test_elevenlabs_barge_in_leaves_no_stale_audio_and_the_next_turn_plays(
    server: Server, interruptions: Interruptions
) -> None:
    wanted = await spoken(server, of_elevenlabs, TEXT)
    async with plugged(of_elevenlabs, server) as voice:
        for _ in range(TRIES):
            stream = await amid_a_turn(voice, whole=False)
            async with interruptions.timed(server):
                await stream.aclose()
            assert is_just(wanted, await say(voice, WORDS))
    assert interruptions.are_obeyed(), interruptions


async def test_elevenlabs_barge_in_without_a_message_does_not_affect_the_next_turn(
    server: Server,
) -> None:
    """Once all text is sent, the plugin only ignores the rest, which is limited by the lead."""
    async with plugged(of_elevenlabs, server) as voice:
        stream = await amid_a_turn(voice, whole=True)
        await stream.aclose()
        assert is_just(await spoken(server, of_elevenlabs, TEXT), await say(voice, WORDS))
    with asking(server) as asked:
        await asyncio.to_thread(until, lambda: in_hand(asked) == 0)


async def amid_a_turn(voice: tts.TTS, *, whole: bool) -> Any:
    """Yield a long turn with some audio received. whole: whether all its text was sent."""
    stream = voice.stream()
    stream.push_text(LONG)
    stream.flush()
    if whole:
        stream.end_input()
    await hear(stream, 3)
    return stream


def is_just(wanted: bytes, events: list[tts.SynthesizedAudio]) -> bool:
    """Return whether the audio is `wanted`, followed only by the silence that the plugins append."""
    heard = audio(events)
    return heard.startswith(wanted) and not heard[len(wanted) :].strip(b"\0")


async def hear(stream: Any, count: int) -> None:
    """Receive `count` frames."""
    async with asyncio.timeout(20):
        for _ in range(count):
            await anext(stream)


async def test_reports_an_unknown_voice(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        voice = cartesia.TTS(api_key="x", base_url=server.url, voice="nobody", http_session=session)
        stream = voice.stream(conn_options=APIConnectOptions(max_retry=0))
        stream.push_text(TEXT)
        stream.end_input()
        with pytest.raises(APIError):
            async for _ in stream:
                pass
        await stream.aclose()
        await voice.aclose()


@pytest.mark.parametrize("form", ["pcm", "mp3"])
async def test_openai_plugin_plays_a_whole_text(server: Server, form: Any) -> None:
    voice = openai.TTS(api_key="x", base_url=f"{server.url}/v1", voice="aria", response_format=form)
    async with asyncio.timeout(20):
        events = [event async for event in voice.synthesize(LONGER)]
    await voice.aclose()
    seconds = sum(event.frame.duration for event in events)
    wanted = await native_audio(server, LONGER, sample_rate=RATE)
    assert seconds == pytest.approx(len(wanted) / 2 / RATE, rel=0.02)
    if form == "pcm":
        assert is_just(wanted, events)


async def test_openai_plugin_barges_in_by_disconnecting(server: Server, interruptions: Interruptions) -> None:
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    async with plugged(of_openai, server) as voice:
        for _ in range(TRIES):
            stream: Any = voice.synthesize(LONG)
            await hear(stream, 1)
            async with interruptions.timed(server):
                await stream.aclose()
            events = [event async for event in voice.synthesize(TEXT)]
            assert is_just(wanted, events)
    assert interruptions.are_obeyed(), interruptions


@pytest.mark.parametrize("plugin", PLUGINS)
async def test_a_lost_worker_is_reported_and_the_next_turn_plays(
    start_server: Callable[..., Server], plugin: Plugin
) -> None:
    """It must not look like the end of the turn, which would be truncated silently."""
    server = start_server("--max-workers=1")
    async with plugged(plugin, server) as voice:
        stream: Any = voice.stream(conn_options=APIConnectOptions(max_retry=0))
        stream.push_text(ENDLESS)
        stream.end_input()
        await hear(stream, 3)
        kill_worker(server)
        with pytest.raises(APIError):
            async with asyncio.timeout(10):
                async for _ in stream:
                    pass
        await stream.aclose()
        await asyncio.to_thread(until, server.ready, 30)
        assert is_just(await spoken(server, plugin, TEXT), await say(voice, WORDS))
