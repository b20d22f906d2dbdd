"""Pipecat's own services, unmodified, pointed at this server."""
# ruff: noqa: E402

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from extra import need
from foreign import LONG, TEXT, contexts, native_audio
from servers import Server, until

need(
    "pipecat.services.cartesia.tts",
    "pipecat.services.deepgram.tts",
    "pipecat.services.elevenlabs.tts",
    "pipecat.services.openai.tts",
    "pipecat.workers.runner",
    "pipecat.pipeline.worker",
)

from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.deepgram.tts import DeepgramTTSService
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.services.tts_service import TextAggregationMode
from pipecat.workers.runner import WorkerRunner

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]

RATE = 24000


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


class Loudspeaker(FrameProcessor):
    """Stands where a bot's output is: keeps what would be played, and says when it has been."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self.news = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        self.news.set()
        if isinstance(frame, TTSStartedFrame):
            await self.push_frame(BotStartedSpeakingFrame(), FrameDirection.UPSTREAM)
        elif isinstance(frame, TTSStoppedFrame):
            await self.push_frame(BotStoppedSpeakingFrame(), FrameDirection.UPSTREAM)
        await self.push_frame(frame, direction)


@dataclass
class Bot:
    """A pipeline of one service, and what came out of it."""

    worker: PipelineWorker
    loudspeaker: Loudspeaker
    errors: list[ErrorFrame] = field(default_factory=list)

    async def respond(self, text: str) -> None:
        """A language model's answer, token by token."""
        await self.worker.queue_frame(LLMFullResponseStartFrame())
        for index, word in enumerate(text.split()):
            await self.worker.queue_frame(LLMTextFrame(word if index == 0 else " " + word))
        await self.worker.queue_frame(LLMFullResponseEndFrame())

    async def interrupt(self) -> None:
        await self.worker.queue_frame(InterruptionFrame())

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                assert not self.errors
                await self.loudspeaker.news.wait()
                self.loudspeaker.news.clear()

    def of(self, kind: type[Frame]) -> list[Any]:
        return [frame for frame in self.loudspeaker.frames if isinstance(frame, kind)]

    @property
    def audio(self) -> bytes:
        return b"".join(frame.audio for frame in self.of(TTSAudioRawFrame))


@asynccontextmanager
async def bot_of(service: FrameProcessor) -> AsyncIterator[Bot]:
    loudspeaker = Loudspeaker()
    worker = PipelineWorker(
        Pipeline([service, loudspeaker]),
        params=PipelineParams(audio_out_sample_rate=RATE),
        cancel_on_idle_timeout=False,
        enable_rtvi=False,
    )
    started = asyncio.Event()
    worker.add_event_handler("on_pipeline_started", lambda *_: started.set())
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await asyncio.wait_for(started.wait(), 10)
    bot = Bot(worker, loudspeaker)
    worker.add_event_handler("on_pipeline_error", lambda _, error: bot.errors.append(error))
    try:
        yield bot
        await worker.queue_frame(EndFrame())
        await asyncio.wait_for(running, 10)
    finally:
        await worker.cancel()
        await asyncio.wait([running], timeout=10)
    assert not bot.errors


async def spoken(server: Server, service: Any, text: str) -> bytes:
    """What the native websocket makes of it, in the language the service asks for."""
    options = {"language": "en"} if service is cartesia else {}
    return await native_audio(server, text, sample_rate=RATE, **options)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_turn_plays_whole(server: Server, service: Any) -> None:
    async with bot_of(service(server)) as bot:
        await bot.respond(TEXT)
        await bot.until(lambda: bot.of(TTSStoppedFrame))
        assert all(frame.sample_rate == RATE for frame in bot.of(TTSAudioRawFrame))
        assert bot.audio == await spoken(server, service, TEXT)


@pytest.mark.parametrize("service", WITH_WORDS)
async def test_tokens_are_joined_as_they_are(server: Server, service: Any) -> None:
    one = service(server, text_aggregation_mode=TextAggregationMode.TOKEN)
    async with bot_of(one) as bot:
        await bot.respond(TEXT)
        await bot.until(lambda: bot.of(TTSStoppedFrame))
        assert bot.audio == await spoken(server, service, TEXT)


@pytest.mark.parametrize("service", WITH_WORDS)
async def test_words_ascend_within_the_audio(server: Server, service: Any) -> None:
    async with bot_of(service(server)) as bot:
        await bot.respond(TEXT)
        await bot.until(lambda: bot.of(TTSStoppedFrame))
        await bot.until(lambda: "".join(frame.text for frame in bot.of(TTSTextFrame)).endswith("third?"))
        frames = bot.of(TTSTextFrame)
        assert " ".join(frame.text.strip() for frame in frames).split() == TEXT.split()
        times = [frame.pts for frame in frames]
        assert times == sorted(times)
        assert (times[-1] - times[0]) / 1e9 < len(bot.audio) / 2 / RATE


@contextmanager
def hearing_clears() -> Iterator[list[str]]:
    """What Deepgram's service says of what it cleared.

    Its audio does not say whose it is, so what is still unread in the client's own buffer would be taken for
    the next turn's; a turn that comes after the answer is safe.
    """
    said: list[str] = []
    sink = logger.add(said.append, level="TRACE", filter=lambda record: "Cleared" in record["message"])
    try:
        yield said
    finally:
        logger.remove(sink)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_barge_in_leaves_nothing_stale_and_the_next_turn_plays(server: Server, service: Any) -> None:
    async with bot_of(service(server)) as bot:
        with hearing_clears() as cleared:
            await bot.respond(LONG)
            await bot.until(lambda: len(bot.of(TTSAudioRawFrame)) >= 3)
            if service is not openai:  # Which asks for a sentence at a time, and has it at once.
                assert contexts(server) == 1
            await bot.interrupt()
            await bot.until(lambda: bot.of(InterruptionFrame))
            await asyncio.to_thread(until, lambda: contexts(server) == 0, 1.0)
            if service is deepgram:
                await asyncio.to_thread(until, lambda: cleared)
        bot.loudspeaker.frames.clear()
        await bot.respond(TEXT)
        await bot.until(lambda: bot.of(TTSStoppedFrame))
        assert bot.audio == await spoken(server, service, TEXT)


@pytest.mark.parametrize("service", SERVICES)
async def test_two_turns_play_one_after_the_other(server: Server, service: Any) -> None:
    async with bot_of(service(server)) as bot:
        for turn in (1, 2):
            await bot.respond(TEXT)
            await bot.until(lambda turn=turn: len(bot.of(TTSStoppedFrame)) == turn)
        assert bot.audio == 2 * await spoken(server, service, TEXT)
