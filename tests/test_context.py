"""A turn of speech, over a real pool."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from streaming_server.context import (
    Broken,
    Cancelled,
    Done,
    Flushed,
    Output,
    SentenceStart,
    Speech,
    SpeechContext,
    UtteranceEnd,
    WordTimes,
)
from streaming_server.errors import BadMessage, BadValue, TooLarge
from streaming_server.pool.devices import Device
from streaming_server.pool.pool import Pool
from streaming_server.pool.supervisor import WorkerCommand
from streaming_server.types import DEFAULT_VOICE, ChunkPolicy, EngineInfo, Generation

pytestmark = pytest.mark.anyio

LONG = "The quick brown fox jumps over the lazy dog near the river bank. "


class Turns:
    """Opens contexts on a running pool."""

    def __init__(self, pool: Pool, engine: EngineInfo) -> None:
        self.pool = pool
        self.engine = engine

    def open(self, chunking: ChunkPolicy | None = None, **options: Any) -> SpeechContext:
        engine = dataclasses.replace(self.engine, chunking=chunking) if chunking else self.engine
        defaults: dict[str, Any] = {"max_characters": 10_000, "max_lead_s": 1e9}
        return SpeechContext(self.pool, engine, DEFAULT_VOICE, Generation(), **(defaults | options))

    @property
    def load(self) -> int:
        return self.pool.workers[0].load


@asynccontextmanager
async def running() -> AsyncIterator[Turns]:
    pool = Pool([Device("cpu:0", {})], WorkerCommand(("--engine=espeak",), start_timeout_s=20))
    async with pool.running():
        engine = await pool.engine()
        with anyio.fail_after(20):
            while not pool.healthy:
                await anyio.sleep(0.01)
        yield Turns(pool, engine)


async def rest(context: SpeechContext) -> list[Output]:
    """Everything up to the end."""
    outputs: list[Output] = []
    with anyio.fail_after(20):
        while not outputs or not isinstance(outputs[-1], Done | Cancelled | Broken):
            outputs.append(await context.receive())
    return outputs


async def until(context: SpeechContext, kind: type[Output]) -> Output:
    with anyio.fail_after(20):
        while not isinstance(output := await context.receive(), kind):
            pass
    return output


def kinds(outputs: list[Output]) -> list[str]:
    """The kinds of what came, repetitions of words and speech left out."""
    names = [type(output).__name__ for output in outputs if not isinstance(output, WordTimes)]
    return [name for at, name in enumerate(names) if name != "Speech" or names[at - 1] != "Speech"]


async def test_a_turn_in_order() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("Hello there. And th")
        context.append("is is more.")
        context.finish()
        outputs = await rest(context)
    assert kinds(outputs) == ["SentenceStart", "Speech", "UtteranceEnd"] * 2 + ["Done"]
    sentences = [output for output in outputs if isinstance(output, SentenceStart)]
    assert [(one.index, one.text, one.start, one.end) for one in sentences] == [
        (0, "Hello there.", 0, 12),
        (1, "And this is more.", 13, 30),
    ]


async def test_the_first_sentence_leaves_before_the_second_is_written() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("Hello there. ")
        assert isinstance(await until(context, Speech), Speech)
        context.cancel()


async def test_nothing_runs_ahead_of_the_reader_by_more_than_an_utterance() -> None:
    async with running() as turns:
        context = turns.open()
        context.append(LONG * 10)
        await until(context, Speech)
        await anyio.sleep(0.5)
        context.append(LONG)
        outputs = [await context.receive()]
        while not isinstance(outputs[-1], UtteranceEnd):
            outputs.append(await context.receive())
        assert turns.load == 0
        context.close()


async def test_a_piece_longer_than_the_lead_is_handed_on_in_slices() -> None:
    async with running() as turns:
        context = turns.open(max_lead_s=0.5)
        context.append(LONG * 2)
        context.finish()
        begun, samples = time.monotonic(), 0
        while time.monotonic() - begun < 1.2:
            output = await context.receive()
            if isinstance(output, Speech):
                samples += len(output.pcm) // 2
                assert samples / turns.engine.sample_rate - (time.monotonic() - begun) < 0.65
        context.cancel()


async def test_cancel_leaves_only_the_report() -> None:
    async with running() as turns:
        context = turns.open()
        context.append(LONG * 5)
        await until(context, Speech)
        context.cancel()
        assert turns.load == 0
        outputs = await rest(context)
        assert kinds(outputs) == ["Cancelled"]
        assert isinstance(report := outputs[0], Cancelled)
        assert report.text_spoken + report.text_remaining == LONG * 5
        context.append("Too late.")
        context.cancel()
        context.finish()


async def test_cancel_wakes_a_reader_that_waits_for_its_lead() -> None:
    async with running() as turns:
        context = turns.open(max_lead_s=0.2)
        context.append(LONG)
        await until(context, Speech)
        async with anyio.create_task_group() as group:

            async def read() -> None:
                await until(context, Cancelled)

            group.start_soon(read)
            await anyio.sleep(0.01)
            asked = time.monotonic()
            context.cancel()
        assert time.monotonic() - asked < 0.05


async def test_the_report_counts_what_was_played() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("One two three four five six. Seven eight. ")
        words: list[WordTimes] = []
        while not isinstance(output := await context.receive(), UtteranceEnd):
            if isinstance(output, WordTimes):
                words.append(output)
        third = [word for times in words for word in times.words][2]
        context.played(third.start_sample + 1)
        context.cancel()
        (report,) = await rest(context)
        assert isinstance(report, Cancelled)
        assert report.text_spoken == "One two three"
        assert report.text_remaining == " four five six. Seven eight. "


async def test_a_cancelled_context_reports_pairs_that_came_in_halves_whole() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("Party \ud83c")
        context.append("\udf89")
        context.cancel()
        (report,) = await rest(context)
        assert isinstance(report, Cancelled)
        assert report.text_remaining == "Party 🎉"


async def test_flushed_comes_after_the_audio_and_once_for_each_flush() -> None:
    async with running() as turns:
        context = turns.open()
        context.flush()
        assert isinstance(await context.receive(), Flushed)
        context.append("No full stop")
        context.flush()
        context.flush()
        outputs = [await context.receive()]
        while not isinstance(outputs[-1], Flushed):
            outputs.append(await context.receive())
        outputs.append(await context.receive())
        context.finish()
        outputs += await rest(context)
    assert kinds(outputs) == ["SentenceStart", "Speech", "UtteranceEnd", "Flushed", "Flushed", "Done"]


PATIENT = ChunkPolicy(min_chars=40, best_chars=200, max_chars=400, patience_s=0.3)


async def test_a_short_first_sentence_waits_for_company() -> None:
    async with running() as turns:
        context = turns.open(PATIENT)
        context.append("Hi. ")
        context.append("This is what I wanted to say to you today. ")
        outputs = [await context.receive()]
        while not isinstance(outputs[-1], UtteranceEnd):
            outputs.append(await context.receive())
        context.cancel()
    starts = [output for output in outputs if isinstance(output, SentenceStart)]
    assert [start.text for start in starts] == ["Hi.", "This is what I wanted to say to you today."]
    assert starts[0].sample < starts[1].sample


async def test_a_short_first_sentence_waits_only_so_long() -> None:
    async with running() as turns:
        context = turns.open(PATIENT)
        begun = time.monotonic()
        context.append("Hi. ")
        await until(context, Speech)
        assert 0.25 < time.monotonic() - begun < 1.0
        context.cancel()


async def test_sentences_that_wait_leave_together() -> None:
    async with running() as turns:
        context = turns.open(PATIENT)
        context.append(LONG + "Two. Three. Four. " * 3)
        context.finish()
        outputs = await rest(context)
    assert sum(isinstance(output, UtteranceEnd) for output in outputs) == 2
    starts = [output for output in outputs if isinstance(output, SentenceStart)]
    assert [start.index for start in starts] == list(range(10))
    samples = [start.sample for start in starts[1:]]
    assert samples == sorted(samples)


async def test_text_after_finish_is_an_error_and_too_much_text_is_another() -> None:
    async with running() as turns:
        context = turns.open(max_characters=20)
        with pytest.raises(TooLarge):
            context.append("x" * 21)
        context.append("Short enough.")
        context.finish()
        context.finish()
        with pytest.raises(BadMessage):
            context.append("More.")
        with pytest.raises(BadMessage):
            context.flush()
        assert isinstance((await rest(context))[-1], Done)


async def test_half_a_pair_at_the_end_is_an_error() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("\ud83c")
        with pytest.raises(BadValue):
            context.finish()
        context.close()


async def test_the_metrics_add_up() -> None:
    seconds: list[float] = []
    async with running() as turns:
        context = turns.open(heard=seconds.append)
        context.append("Hello there. And more.")
        context.finish()
        outputs = await rest(context)
        rate = turns.engine.sample_rate
    assert isinstance(done := outputs[-1], Done)
    audio = sum(len(output.pcm) for output in outputs if isinstance(output, Speech)) // 2
    assert done.metrics.audio_ms == pytest.approx(1000 * audio / rate, abs=0.01)
    assert done.metrics.first_audio_ms == pytest.approx(1000 * seconds[0], abs=0.01)
    assert done.metrics.characters == 22
    assert len(seconds) == 1
