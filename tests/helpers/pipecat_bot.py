"""A pipeline of Pipecat's with one service in it, as the tests use it. Needs the extra `clients`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

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
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

RATE = 24000


class Loudspeaker(FrameProcessor):
    """Replaces a bot's output: records the audio and reports when it has been played."""

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
    """A pipeline of one service, with its output frames."""

    worker: PipelineWorker
    loudspeaker: Loudspeaker
    errors: list[ErrorFrame] = field(default_factory=list)

    async def respond(self, pieces: Iterable[str], *, whole: bool = True) -> None:
        """Send a reply in pieces; only its beginning unless `whole`."""
        await self.worker.queue_frame(LLMFullResponseStartFrame())
        for piece in pieces:
            await self.worker.queue_frame(LLMTextFrame(piece))
        if whole:
            await self.worker.queue_frame(LLMFullResponseEndFrame())

    async def interrupt(self) -> None:
        await self.worker.queue_frame(InterruptionFrame())

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                assert not self.errors
                await self.loudspeaker.news.wait()
                self.loudspeaker.news.clear()

    async def until_spoken(self, turns: int = 1) -> None:
        await self.until(lambda: len(self.of(TTSStoppedFrame)) >= turns)

    def of(self, kind: type[Frame]) -> list[Any]:
        return [frame for frame in self.loudspeaker.frames if isinstance(frame, kind)]

    def since_interruption(self, kind: type[Frame]) -> list[Any]:
        """Return the frames after the interruption, which must have happened."""
        frames = self.loudspeaker.frames
        [interrupted] = [at for at, frame in enumerate(frames) if isinstance(frame, InterruptionFrame)]
        return [frame for frame in frames[interrupted:] if isinstance(frame, kind)]

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
        await _close_client(service)
    assert not bot.errors


async def _close_client(service: Any) -> None:
    """Close OpenAI's client, which its service leaves open beyond the test's event loop."""
    if hasattr(service, "_client"):
        await service._client.close()
