"""Pipecat's own services, unmodified, pointed at this server."""
# ruff: noqa: E402

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from helpers.cuts import cut, pieces_of
from helpers.extra import need
from helpers.foreign import LONG, TEXT, native_audio
from helpers.interruptions import TRIES, Interruptions
from helpers.servers import Server, until
from helpers.talk import native_words

need(
    "pipecat.services.cartesia.tts",
    "pipecat.services.deepgram.tts",
    "pipecat.services.elevenlabs.tts",
    "pipecat.services.openai.tts",
    "pipecat.workers.runner",
    "pipecat.pipeline.worker",
)

from helpers.pipecat_bot import RATE, Bot, bot_of
from loguru import logger
from pipecat.frames.frames import InterruptionFrame, TTSAudioRawFrame, TTSStoppedFrame, TTSTextFrame
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.deepgram.tts import DeepgramTTSService
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.services.tts_service import TextAggregationMode

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]


def cartesia(server: Server, **options: Any) -> CartesiaTTSService:
    return CartesiaTTSService(
        api_key="x",
        url=f"{server.ws_url}/tts/websocket",
        settings=CartesiaTTSService.Settings(voice="aria"),
        **options,
    )


def elevenlabs(server: Server, **options: Any) -> ElevenLabsTTSService:
    return ElevenLabsTTSService(
        api_key="x", url=server.ws_url, settings=ElevenLabsTTSService.Settings(voice="aria"), **options
    )


def deepgram(server: Server, **options: Any) -> DeepgramTTSService:
    return DeepgramTTSService(
        api_key="x", base_url=server.ws_url, settings=DeepgramTTSService.Settings(voice="aria"), **options
    )


def openai(server: Server, **options: Any) -> OpenAITTSService:
    return OpenAITTSService(
        api_key="x",
        base_url=f"{server.url}/v1",
        settings=OpenAITTSService.Settings(voice="alloy"),  # It knows OpenAI's own names alone.
        **options,
    )


SERVICES = [cartesia, elevenlabs, deepgram, openai]
WITH_WORDS = [cartesia, elevenlabs]
WORDS = cut(TEXT)["a space and words"]


async def spoken(server: Server, service: Any, text: str) -> bytes:
    """Return the native websocket's audio, in the language that the service requests."""
    options = {"language": "en"} if service is cartesia else {}
    return await native_audio(server, text, sample_rate=RATE, **options)


WAYS = ("a space and words", "words and a space", "characters")


@pieces_of(TEXT, *WAYS, "whole")
@pytest.mark.parametrize("service", SERVICES)
async def test_plays_a_whole_turn_however_its_text_is_split(
    server: Server, service: Any, pieces: list[str]
) -> None:
    """The service sends each sentence once it is complete, without the space after it."""
    async with bot_of(service(server)) as bot:
        await bot.respond(pieces)
        await bot.until_spoken()
        assert all(frame.sample_rate == RATE for frame in bot.of(TTSAudioRawFrame))
        assert bot.audio == await spoken(server, service, TEXT)


@pieces_of(TEXT, *WAYS)
@pytest.mark.parametrize("service", [cartesia, elevenlabs, deepgram])
async def test_tokens_are_joined_unchanged(server: Server, service: Any, pieces: list[str]) -> None:
    one = service(server, text_aggregation_mode=TextAggregationMode.TOKEN)
    async with bot_of(one) as bot:
        await bot.respond(pieces)
        await bot.until_spoken()
        assert bot.audio == await spoken(server, service, TEXT)


@pytest.mark.parametrize("service", WITH_WORDS)
async def test_word_times_are_spread_over_the_audio(server: Server, service: Any) -> None:
    async with bot_of(service(server)) as bot:
        await bot.respond(WORDS)
        await bot.until_spoken()
        await bot.until(lambda: "".join(frame.text for frame in bot.of(TTSTextFrame)).endswith("third?"))
        frames = bot.of(TTSTextFrame)
    assert [frame.text.strip() for frame in frames] == TEXT.split()
    starts = [(frame.pts - frames[0].pts) / 1e9 for frame in frames]
    assert all(before < after for before, after in pairwise(starts))
    assert starts[-1] < len(bot.audio) / 2 / RATE
    spoken_at = [word["start_ms"] / 1000 for word in await native_words(server.ws_url, TEXT)]
    assert starts == pytest.approx(spoken_at, abs=0.03)


@contextmanager
def hearing_clears() -> Iterator[list[str]]:
    """Collect the `Cleared` messages that Deepgram's service logs.

    The protocol's audio has no context, so audio still in the client's buffer would count as the next turn's.
    A turn that starts after `Cleared` is safe.
    """
    said: list[str] = []
    sink = logger.add(said.append, level="TRACE", filter=lambda record: "Cleared" in record["message"])
    try:
        yield said
    finally:
        logger.remove(sink)


@pytest.mark.parametrize("whole", [True, False], ids=["written", "being written"])
@pytest.mark.parametrize("service", SERVICES)
async def test_a_barge_in_leaves_no_stale_audio_and_the_next_turn_plays(
    server: Server, service: Any, whole: bool, interruptions: Interruptions
) -> None:
    wanted = await spoken(server, service, TEXT)
    async with bot_of(service(server)) as bot:
        for _ in range(TRIES):
            bot.loudspeaker.frames.clear()
            await interrupt(bot, server, service, interruptions, whole=whole)
            await bot.respond(WORDS)
            await bot.until(lambda: bot.since_interruption(TTSStoppedFrame))
            assert b"".join(frame.audio for frame in bot.since_interruption(TTSAudioRawFrame)) == wanted
    assert interruptions.are_obeyed(), interruptions


async def interrupt(
    bot: Bot, server: Server, service: Any, interruptions: Interruptions, *, whole: bool
) -> None:
    """Start a long turn and interrupt it."""
    with hearing_clears() as cleared:
        # OpenAI's service asks for a sentence at a time, and has a short one at once.
        text = LONG.replace(". ", ", ").strip(", ") + ". Then" if service is openai else LONG
        await bot.respond(cut(text)["a space and words"], whole=whole)
        await bot.until(lambda: len(bot.of(TTSAudioRawFrame)) >= 3)
        async with interruptions.timed(server):
            await bot.interrupt()
            await bot.until(lambda: bot.of(InterruptionFrame))
        if service is deepgram:
            await asyncio.to_thread(until, lambda: cleared)


@pytest.mark.parametrize("service", SERVICES)
async def test_two_turns_play_one_after_the_other(server: Server, service: Any) -> None:
    async with bot_of(service(server)) as bot:
        for turn in (1, 2):
            await bot.respond(WORDS)
            await bot.until_spoken(turn)
        assert bot.audio == 2 * await spoken(server, service, TEXT)
