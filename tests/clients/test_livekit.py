"""LiveKit Agents' own plugins, unmodified, pointed at this server."""
# ruff: noqa: E402

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from extra import need
from foreign import LONG, TEXT, contexts, native_audio
from servers import Server, until

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
    """In mp3, which is what it asks for unless told otherwise."""
    return elevenlabs.TTS(api_key="x", base_url=f"{server.url}/v1", voice_id="aria", http_session=session)


def of_deepgram(server: Server, session: aiohttp.ClientSession) -> tts.TTS:
    return deepgram.TTS(api_key="x", base_url=f"{server.url}/v1/speak", model="aria", http_session=session)


def of_openai(server: Server, session: aiohttp.ClientSession) -> tts.TTS:
    return openai.TTS(api_key="x", base_url=f"{server.url}/v1", voice="aria", response_format="pcm")


PLUGINS: list[Plugin] = [of_cartesia, of_elevenlabs, of_deepgram]


@asynccontextmanager
async def plugged(plugin: Plugin, server: Server) -> AsyncIterator[tts.TTS]:
    async with aiohttp.ClientSession() as session:
        voice = plugin(server, session)
        yield voice
        await voice.aclose()


async def say(voice: tts.TTS, text: str) -> list[tts.SynthesizedAudio]:
    """A language model's answer, token by token, heard to its end."""
    async with aclosing(voice.stream()) as stream:
        for index, word in enumerate(text.split()):
            stream.push_text(word if index == 0 else " " + word)
        stream.end_input()
        async with asyncio.timeout(20):
            return [event async for event in stream]


def audio(events: list[tts.SynthesizedAudio]) -> bytes:
    return b"".join(bytes(event.frame.data) for event in events)


async def spoken(server: Server, plugin: Plugin, text: str) -> bytes:
    """What the native websocket makes of it, in the language the plugin asks for."""
    options = {"language": "en"} if plugin is of_cartesia else {}
    return await native_audio(server, text, sample_rate=RATE, **options)


@pytest.mark.parametrize("plugin", PLUGINS)
async def test_a_turn_plays_whole(server: Server, plugin: Plugin) -> None:
    async with plugged(plugin, server) as voice:
        events = await say(voice, TEXT)
    assert {event.frame.sample_rate for event in events} == {RATE}
    wanted = await spoken(server, plugin, TEXT)
    assert audio(events).startswith(wanted)
    assert not audio(events)[len(wanted) :].strip(b"\0")  # The plugin ends with a moment of silence.
    assert len(audio(events)) == pytest.approx(len(wanted), rel=0.02)


async def test_mp3_plays_as_long(server: Server) -> None:
    async with plugged(of_elevenlabs_as_it_comes, server) as voice:
        events = await say(voice, TEXT)
    seconds = sum(event.frame.duration for event in events)
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    assert seconds == pytest.approx(len(wanted) / 2 / RATE, abs=0.2)


@pytest.mark.parametrize("plugin", [of_cartesia, of_elevenlabs])
async def test_words_ascend_within_the_audio(server: Server, plugin: Plugin) -> None:
    async with plugged(plugin, server) as voice:
        events = await say(voice, TEXT)
    words = [word for event in events for word in event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])]
    assert "".join(words).split() == TEXT.split()
    times = [time for word in words for time in (word.start_time, word.end_time)]
    assert times == sorted(times)
    assert times[0] < 0.1
    assert len(audio(events)) / 2 / RATE / 2 < times[-1] <= len(audio(events)) / 2 / RATE + 0.01


@pytest.mark.parametrize("plugin", PLUGINS)
async def test_a_barge_in_leaves_nothing_stale_and_the_next_turn_plays(
    server: Server, plugin: Plugin
) -> None:
    async with plugged(plugin, server) as voice:
        stream: Any = voice.stream()
        stream.push_text(LONG[:600])
        stream.flush()
        heard = 0
        async for _ in stream:
            heard += 1
            if heard == 3:
                break
        assert contexts(server) == 1
        await stream.aclose()
        events = await say(voice, TEXT)
        wanted = await spoken(server, plugin, TEXT)
        assert audio(events).startswith(wanted)
        assert not audio(events)[len(wanted) :].strip(b"\0")
        if plugin is not of_elevenlabs:  # Which closes what it flushed, as at a turn's end: it is heard out.
            await asyncio.to_thread(until, lambda: contexts(server) == 0, 1.0)
    await asyncio.to_thread(until, lambda: contexts(server) == 0, 1.0)


async def test_a_bad_voice_is_told(server: Server) -> None:
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
async def test_openai_s_plugin_plays_a_text_whole(server: Server, form: Any) -> None:
    voice = openai.TTS(api_key="x", base_url=f"{server.url}/v1", voice="aria", response_format=form)
    async with asyncio.timeout(20):
        events = [event async for event in voice.synthesize(TEXT)]
    await voice.aclose()
    seconds = sum(event.frame.duration for event in events)
    wanted = await native_audio(server, TEXT, sample_rate=RATE)
    assert seconds == pytest.approx(len(wanted) / 2 / RATE, rel=0.02, abs=0.2)
    if form == "pcm":
        assert audio(events).startswith(wanted)


async def test_openai_s_plugin_barges_in_by_hanging_up(server: Server) -> None:
    async with plugged(of_openai, server) as voice:
        stream: Any = voice.synthesize(LONG)
        async for _ in stream:
            break
        assert contexts(server) == 1
        await stream.aclose()
        await asyncio.to_thread(until, lambda: contexts(server) == 0, 1.0)
        events = [event async for event in voice.synthesize(TEXT)]
    assert audio(events).startswith(await native_audio(server, TEXT, sample_rate=RATE))
