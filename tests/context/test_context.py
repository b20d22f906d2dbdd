"""Speech contexts on a real pool."""

from __future__ import annotations

import dataclasses
import gc
import os
import random
import signal
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from streaming_server.audio.encoder import AudioOptions, SpeechEncoder
from streaming_server.context import (
    Cancelled,
    Done,
    Failure,
    Flushed,
    Output,
    SentenceStart,
    Speech,
    SpeechContext,
    UtteranceEnd,
    WordTimes,
)
from streaming_server.engines.selection import select_engine
from streaming_server.errors import BadMessage, BadValue, TooLarge
from streaming_server.metrics import Metrics
from streaming_server.pool.channel import Channel
from streaming_server.pool.devices import Device
from streaming_server.pool.pool import Pool
from streaming_server.pool.supervisor import Supervisor, WorkerCommand
from streaming_server.render import CHARACTERS_AT_ONCE, Rendering
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
        generation = options.pop("generation", Generation())
        return SpeechContext(self.pool, engine, DEFAULT_VOICE, generation, **(defaults | options))

    @property
    def load(self) -> int:
        return sum(worker.load for worker in self.pool.workers)

    def homes(self) -> list[Supervisor]:
        """Return the workers that contexts live on."""
        return [worker for worker in self.pool.workers if worker.contexts]


@asynccontextmanager
async def running(workers: int = 1, engine_name: str = "espeak") -> AsyncIterator[Turns]:
    devices = [Device(f"cpu_{index}", {}) for index in range(workers)]
    pool = Pool(devices, WorkerCommand(select_engine(engine_name).worker_arguments, start_timeout_s=20))
    async with pool.running():
        engine = await pool.engine()
        await until_true(lambda: all(worker.healthy for worker in pool.workers))
        yield Turns(pool, engine)


async def until_true(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


def kill(worker: Supervisor) -> float:
    """Kill a worker with SIGKILL; return the time."""
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    return time.monotonic()


def pcm(outputs: list[Output]) -> bytes:
    return b"".join(output.pcm for output in outputs if isinstance(output, Speech))


async def rest(context: SpeechContext) -> list[Output]:
    """Return all remaining events."""
    outputs: list[Output] = []
    with anyio.fail_after(20):
        while not outputs or not isinstance(outputs[-1], Done | Cancelled | Failure):
            outputs.append(await context.receive())
    return outputs


async def until(context: SpeechContext, kind: type[Output]) -> Output:
    with anyio.fail_after(20):
        while not isinstance(output := await context.receive(), kind):
            pass
    return output


def kinds(outputs: list[Output]) -> list[str]:
    """Return the kinds of the events, without repeated words and speech."""
    names = [type(output).__name__ for output in outputs if not isinstance(output, WordTimes)]
    return [name for at, name in enumerate(names) if name != "Speech" or names[at - 1] != "Speech"]


async def test_events_of_a_turn_are_in_order() -> None:
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


async def test_the_first_sentence_is_submitted_before_the_second_arrives() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("Hello there. ")
        assert isinstance(await until(context, Speech), Speech)
        context.cancel()


async def test_a_whole_text_is_read_far_enough_for_the_longest_utterance() -> None:
    """An engine may take longer utterances than the pieces that a text is read in."""
    text = "and so on " * (3 * CHARACTERS_AT_ONCE // 10)
    async with running() as turns:
        context = turns.open(ChunkPolicy(min_chars=0, best_chars=1, max_chars=2 * len(text), patience_s=0.0))
        encoder = SpeechEncoder(turns.engine.sample_rate, AudioOptions(), threads=anyio.CapacityLimiter(1))
        rendering = Rendering(
            context, encoder, Metrics("test"), voice="aria", release=lambda end: None, labels={}
        )
        with anyio.fail_after(20):
            async with rendering:
                await rendering.read(text)
                async for _ in rendering.outputs():
                    pass
    assert isinstance(rendering.end, Done)
    assert rendering.utterances == 1


async def test_speech_runs_at_most_one_utterance_ahead_of_the_reader() -> None:
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


async def test_a_small_window_bounds_what_waits_and_loses_nothing() -> None:
    text = LONG.replace(".", "") * 5
    async with running() as turns:
        whole, held = turns.open(), turns.open(window=20_000)
        for context in (whole, held):
            context.append(text)
            context.finish()
        await until_true(lambda: held.buffered == 20_000 and whole.buffered > 100_000)
        expected, heard = await rest(whole), await rest(held)
    assert pcm(heard) == pcm(expected)


async def test_audio_longer_than_the_lead_is_delivered_in_slices() -> None:
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


async def test_only_the_cancel_report_follows_a_cancel() -> None:
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


async def test_cancel_wakes_a_reader_held_back_by_pacing() -> None:
    async with running() as turns:
        context = turns.open(max_lead_s=0.2)
        context.append(LONG)
        await until(context, Speech)
        context.played_s(0)  # From now on only a report, or the end, lets it go on.
        async with anyio.create_task_group() as group:
            group.start_soon(until, context, Cancelled)
            await anyio.wait_all_tasks_blocked()
            context.cancel()


async def test_the_cancel_report_counts_played_audio() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("One two three four five six. Seven eight. ")
        words: list[WordTimes] = []
        while not isinstance(output := await context.receive(), UtteranceEnd):
            if isinstance(output, WordTimes):
                words.append(output)
        third = [word for times in words for word in times.words][2]
        context.played_s((third.start_sample + 1) / 22050)
        context.cancel()
        (report,) = await rest(context)
        assert isinstance(report, Cancelled)
        assert report.text_spoken == "One two three"
        assert report.text_remaining == " four five six. Seven eight. "


async def test_the_cancel_report_joins_split_surrogate_pairs() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("Party \ud83c")
        context.append("\udf89")
        context.cancel()
        (report,) = await rest(context)
        assert isinstance(report, Cancelled)
        assert report.text_remaining == "Party 🎉"


async def test_flushed_follows_the_audio_and_answers_adjacent_flushes_together() -> None:
    async with running() as turns:
        context = turns.open()
        context.flush()
        assert await context.receive() == Flushed()
        context.append("No full stop")
        for _ in range(1000):
            context.flush()
        assert context.pending_flushes == 1000
        context.append(" and more.")
        context.flush()
        context.finish()
        outputs = await rest(context)
    assert kinds(outputs) == ["SentenceStart", "Speech", "UtteranceEnd", "Flushed"] * 2 + ["Done"]
    assert [output.flushes for output in outputs if isinstance(output, Flushed)] == [1000, 1]
    assert context.pending_flushes == 0


async def test_a_flush_is_pending_until_its_answer_is_received() -> None:
    """Flushes that come meanwhile share the answer."""
    async with running() as turns:
        context = turns.open()
        context.flush()
        assert context.pending_flushes == 1
        context.flush()
        assert context.pending_flushes == 2
        assert await context.receive() == Flushed(2)
        assert context.pending_flushes == 0


async def test_a_closed_context_wakes_its_reader() -> None:
    async with running() as turns:
        context = turns.open()

        async def read() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await context.receive()

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                context.close()
            await read()


PATIENT = ChunkPolicy(min_chars=40, best_chars=200, max_chars=400, patience_s=0.3)


async def test_a_short_first_sentence_waits_for_the_next() -> None:
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


async def test_a_short_first_sentence_waits_for_a_limited_time() -> None:
    async with running() as turns:
        context = turns.open(PATIENT)
        begun = time.monotonic()
        context.append("Hi. ")
        await until(context, Speech)
        assert 0.25 < time.monotonic() - begun < 10
        context.cancel()


async def test_waiting_sentences_are_submitted_together() -> None:
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


async def test_text_after_finish_and_too_much_text_are_errors() -> None:
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


async def test_a_lone_surrogate_at_the_end_is_an_error() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("\ud83c")
        with pytest.raises(BadValue):
            context.finish()
        context.close()


async def test_text_after_finish_is_rejected_even_after_the_end() -> None:
    async with running() as turns:
        context = turns.open()
        context.append("Hello.")
        context.finish()
        await rest(context)
        assert context.ended
        for late in (lambda: context.append("More."), context.flush):
            with pytest.raises(BadMessage):
                late()


async def test_text_without_words_is_not_synthesised() -> None:
    async with running() as turns:
        context = turns.open()
        for _ in range(1000):
            context.append("")
        assert context.text == ""
        context.close()


async def test_the_metrics_add_up() -> None:
    seconds: list[float] = []
    async with running() as turns:
        context = turns.open(on_first_audio=seconds.append)
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


async def test_a_pause_counts_neither_as_first_audio_nor_as_synthesized_audio() -> None:
    seconds: list[float] = []
    async with running() as turns:
        with_pause, without = turns.open(on_first_audio=seconds.append), turns.open()
        for context, text in ((with_pause, "<break time='5s'/>Hello there."), (without, "Hello there.")):
            context.append(text)
            context.finish()
        done, plain = (await rest(with_pause))[-1], (await rest(without))[-1]
    assert isinstance(done, Done)
    assert isinstance(plain, Done)
    metrics = done.metrics
    assert metrics.audio_ms == pytest.approx(5000 + plain.metrics.audio_ms, abs=0.02)
    assert metrics.realtime_factor == pytest.approx(plain.metrics.audio_ms / metrics.synthesis_ms, rel=0.01)
    assert metrics.first_audio_ms >= metrics.queue_ms > 0
    assert seconds == [pytest.approx(metrics.first_audio_ms / 1000, abs=1e-4)]


async def test_a_pause_alone_has_no_first_audio() -> None:
    seconds: list[float] = []
    async with running() as turns:
        context = turns.open(on_first_audio=seconds.append)
        context.append("<break time='100ms'/>")
        context.finish()
        assert kinds(await rest(context)) == ["Speech", "UtteranceEnd", "Done"]
    assert seconds == []


async def test_a_pause_that_comes_alone_wakes_a_waiting_reader() -> None:
    async with running() as turns:
        context = turns.open()
        outputs: list[Output] = []
        async with anyio.create_task_group() as group:
            group.start_soon(listen, context, outputs)
            await anyio.wait_all_tasks_blocked()
            context.append("<break time='200ms'/>")
            await until_true(lambda: kinds(outputs) == ["Speech", "UtteranceEnd"])
            context.append("Hello there. ")
            context.append("And more.")
            await until_true(lambda: "SentenceStart" in kinds(outputs))
            context.close()


@pytest.mark.parametrize("end", ["finish", "cancel"])
async def test_a_finished_context_leaves_no_reference_cycles(end: str) -> None:
    """Collecting cycles among the objects of hundreds of clients would stall the event loop."""
    async with running() as turns:
        alive = {"the context": lambda seconds: None}
        context = turns.open(on_first_audio=alive["the context"])
        trace = weakref.ref(alive.pop("the context"))
        context.append("A sentence that is spoken.")
        getattr(context, end)()
        await rest(context)
        gc.disable()
        try:
            del context
            assert trace() is None
        finally:
            gc.enable()


async def test_first_audio_counts_from_the_complete_sentence_even_if_it_waits() -> None:
    async with running() as turns:
        context = turns.open(PATIENT)
        context.append("Hi. ")
        await until(context, Speech)
        context.finish()
        done = (await rest(context))[-1]
    assert isinstance(done, Done)
    assert done.metrics.first_audio_ms >= 1000 * PATIENT.patience_s


# A sentence no engine has finished before its listener has heard some of it: longer than a worker's window.
ENDLESS = "the quick brown fox jumps over the lazy dog near the bank of the wide river " * 5 + "there. "


async def stalled(context: SpeechContext) -> list[Output]:
    """Read a context until a listener that no longer reports playback has the whole lead."""
    outputs: list[Output] = []
    while True:
        with anyio.move_on_after(0.5):
            outputs.append(await context.receive())
            context.played_s(0)
            continue
        return outputs


async def test_a_lost_worker_is_reported_at_once_whatever_the_lead() -> None:
    """One second is guaranteed; it takes milliseconds. The test allows three seconds on a busy machine."""
    async with running(2) as turns:
        context = turns.open(max_lead_s=1.0)
        context.append(ENDLESS)
        context.finish()
        heard = await stalled(context)
        assert 0 < len(pcm(heard)) <= 2 * turns.engine.sample_rate
        [home] = turns.homes()
        killed = kill(home)
        outputs = await rest(context)
        assert time.monotonic() - killed < 3
        assert pcm(outputs) == b""
        assert isinstance(broken := outputs[-1], Failure)
        assert (broken.code, broken.retryable) == ("worker_lost", True)
        assert turns.load == 0


async def test_an_utterance_without_audio_is_repeated_and_announced_once() -> None:
    async with running(2) as turns:
        text = "One two three. " + ENDLESS
        whole = turns.open()
        whole.append(text)
        whole.finish()
        expected = await rest(whole)
        first = turns.open()
        first.append("One two three. ")
        first.finish()
        lead_s = len(pcm(await rest(first))) / 2 / turns.engine.sample_rate
        context = turns.open(max_lead_s=lead_s + 0.001)
        context.append(text)
        context.finish()
        outputs = await stalled(context)
        assert kinds(outputs).count("SentenceStart") == 2
        assert context.buffered > 0
        [victim] = turns.homes()
        kill(victim)
        await until_true(lambda: turns.homes() not in ([], [victim]))
        context.played_s(1e6)
        while not isinstance(outputs[-1], Done | Failure):
            outputs.append(await context.receive())
            context.played_s(1e6)
    assert kinds(outputs) == kinds(expected)
    assert pcm(outputs) == pcm(expected)
    assert announced(outputs) == announced(expected)
    assert outputs[-1].metrics.audio_ms == expected[-1].metrics.audio_ms  # type: ignore[union-attr]


def announced(outputs: list[Output]) -> list[object]:
    """Return sentences and timed words, in order."""
    found: list[object] = []
    for output in outputs:
        if isinstance(output, WordTimes):
            found += output.words
        elif isinstance(output, SentenceStart):
            found.append(output)
    return found


async def test_a_killed_worker_loses_no_sample_of_contexts_on_another() -> None:
    async with running(2) as turns:
        text = (ENDLESS + "Then a short one. ") * 2
        alone = turns.open()
        alone.append(text)
        alone.finish()
        expected = pcm(await rest(alone))
        contexts = [turns.open(max_lead_s=2.0) for _ in range(8)]
        begun: list[list[Output]] = []
        for context in contexts:
            context.append(text)
            context.finish()
        for context in contexts:
            begun.append([])
            while not isinstance((output := await context.receive()), Speech):
                begun[-1].append(output)
            begun[-1].append(output)
        assert [len(worker.contexts) for worker in turns.pool.workers] == [4, 4]
        killed = kill(turns.pool.workers[0])
        ends: dict[int, list[Output]] = {}

        async def read(at: int) -> None:
            outputs = begun[at]
            while not outputs or not isinstance(outputs[-1], Done | Failure):
                contexts[at].played_s(1e6)
                outputs.append(await contexts[at].receive())
                if isinstance(outputs[-1], Failure):
                    assert time.monotonic() - killed < 3  # One is guaranteed on an idle machine.
            ends[at] = outputs

        async with anyio.create_task_group() as group:
            for at in range(len(contexts)):
                group.start_soon(read, at)
        lost = [outputs[-1] for outputs in ends.values() if isinstance(outputs[-1], Failure)]
        assert [(end.code, end.retryable) for end in lost] == 4 * [("worker_lost", True)]
        whole = [outputs for outputs in ends.values() if isinstance(outputs[-1], Done)]
        assert [pcm(outputs) for outputs in whole] == 4 * [expected]


@pytest.mark.parametrize("text", [ENDLESS, "777 " * 95 + ". "], ids=["words", "numbers"])
async def test_a_stalled_reader_holds_little_memory_however_slow_the_speech(text: str) -> None:
    """One holds less than a megabyte, 32 less than 16 megabytes."""
    async with running() as turns:
        slow = Generation(speed=0.25)
        contexts = [turns.open(max_lead_s=10.0, generation=slow) for _ in range(32)]
        for context in contexts:
            context.append(text)
            await until(context, Speech)
        most, steady_since = 0, time.monotonic()
        while time.monotonic() - steady_since < 1.0:
            sizes = [context.buffered for context in contexts]
            if sum(sizes) != most:
                most, steady_since = sum(sizes), time.monotonic()
            await anyio.sleep(0.01)
        print(f"the most one context held: {max(sizes)} bytes; all of them: {most}")
        assert max(sizes) < 1_000_000
        assert most < 24_000_000
        for context in contexts:
            context.cancel()
            context.close()
        assert turns.load == 0


async def test_a_slow_reader_receives_every_sample() -> None:
    async with running() as turns:
        slow = Generation(speed=0.25)
        expected = turns.open(generation=slow)
        expected.append(ENDLESS)
        expected.finish()
        wanted = await rest(expected)
        context = turns.open(max_lead_s=1.0, generation=slow)
        context.append(ENDLESS)
        context.finish()
        outputs = await stalled(context)
        assert context.buffered < 1_000_000 < len(pcm(wanted))
        while not isinstance(outputs[-1], Done | Failure):
            context.played_s(1e6)
            outputs.append(await context.receive())
    assert pcm(outputs) == pcm(wanted)
    assert announced(outputs) == announced(wanted)


MOVES = [
    ["cancel"],
    ["finish"],
    ["close"],
    ["flush", "cancel"],
    ["finish", "cancel"],
    ["flush", "close"],
    ["flush", "finish", "cancel"],
    ["flush", "finish", "close"],
]


async def test_raced_contexts_end_exactly_once_and_leave_no_utterance() -> None:
    """Eight at a time are cancelled, finished, flushed and closed at random moments."""
    chance = random.Random(7)
    async with running(2) as turns:

        async def race() -> None:
            for _ in range(25):
                context = turns.open(max_lead_s=chance.choice([0.2, 1e9]))
                outputs: list[Output] = []
                async with anyio.create_task_group() as group:
                    group.start_soon(listen, context, outputs)
                    context.append((LONG * 9)[: chance.randrange(5, 500)])
                    await anyio.sleep(chance.random() * 0.02)
                    moves = chance.choice(MOVES)
                    for move in moves:
                        getattr(context, move)()
                        if chance.random() < 0.5:
                            await anyio.sleep(chance.random() * 0.01)
                    if "cancel" not in moves and "close" not in moves:
                        context.played_s(1e6)
                    if "close" in moves:
                        group.cancel_scope.cancel()
                ends = [output for output in outputs if isinstance(output, Done | Cancelled | Failure)]
                assert len(ends) == 1 or ("close" in moves and not ends)
                assert not any(isinstance(output, Failure) for output in ends)
                assert context.buffered == 0

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(race)
        assert turns.load == 0
        assert all(not worker.contexts for worker in turns.pool.workers)
        gc.collect()
        assert not [thing for thing in gc.get_objects() if type(thing) is Channel]


async def listen(context: SpeechContext, outputs: list[Output]) -> None:
    """Receive up to the end, or until the context is closed; play faster than any voice speaks."""
    with anyio.fail_after(30), suppress(anyio.ClosedResourceError):
        while not outputs or not isinstance(outputs[-1], Done | Cancelled | Failure):
            outputs.append(await context.receive())
            context.played_s(1e6)


SPOKEN_BY_HIBARI = {
    "你好。 Привет!": False,
    "你好。 <break time='1s'/>": False,
    "你好。 Hello. Привет!": True,
    "Say 你好.": True,
    "…": True,
}


async def test_a_text_in_other_languages_than_the_engines_is_an_error() -> None:
    async with running(engine_name="hibari") as turns:
        for text, spoken in SPOKEN_BY_HIBARI.items():
            context = turns.open(detect_language=True)
            context.append(text)
            context.finish()
            end = (await rest(context))[-1]
            if spoken:
                assert isinstance(end, Done), text
            else:
                assert isinstance(end, Failure), text
                assert (end.code, end.retryable) == ("unsupported_language", False)
                assert end.error().http_status == 422
