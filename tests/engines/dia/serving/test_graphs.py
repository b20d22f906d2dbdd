"""The CUDA graph runner: host logic on a simulated GPU; tests that need a real one are marked `gpu`."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.simulated_cuda import SimulatedCuda  # noqa: E402
from helpers.spoken import drain, pcm  # noqa: E402

from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA  # noqa: E402
from streaming_server.engines.dia.serving import engine as serving_engine  # noqa: E402
from streaming_server.engines.dia.serving.engine import DiaEngine  # noqa: E402
from streaming_server.engines.dia.serving.graphs import AHEAD, GraphRunner  # noqa: E402
from streaming_server.engines.dia.serving.load import create_engine  # noqa: E402
from streaming_server.engines.dia.serving.schedule import AMPLE_S  # noqa: E402
from streaming_server.engines.dia.serving.step_graphs import BUCKETS, bucket, padded, sizes  # noqa: E402
from streaming_server.engines.dia.serving.stream import CHUNK_SIZES, LAST_CHUNK  # noqa: E402
from streaming_server.types import (  # noqa: E402
    DEFAULT_VOICE,
    Audio,
    Failed,
    Finished,
    Generation,
    Utterance,
    Words,
)

gpu = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_batch_is_padded_to_the_next_graph_size():
    assert [bucket(count, 256) for count in (1, 3, 9, 65, 256)] == [1, 4, 16, 96, 256]
    assert bucket(9, 10) == 10
    assert sorted(BUCKETS) == list(BUCKETS)
    assert len(sizes(256)) == 13


def test_batch_is_padded_with_other_slots():
    filled = padded([2, 5], 4, 6)
    assert filled == [2, 5, 0, 1]


def utterance(number, temperature=1.2, text="Hello there, all of you.", **generation):
    given = {"max_tokens": 100 + 10 * number, "seed": number, "temperature": temperature, **generation}
    return Utterance(number, number, text, DEFAULT_VOICE, Generation(**given), time.monotonic())


def various(number):
    """Utterances of all sorts: greedy ones, ones with all candidates, short and long texts."""
    text = ("Hello there, this is a sentence that is spoken by somebody. " * 8)[: 12 + number * 41 % 400]
    generation = {"max_tokens": 100 + number * 13 % 90}
    if number % 5 == 0:
        generation["top_k"] = 100
    return utterance(number, 0.0 if number % 3 == 0 else 1.2, text, **generation)


def samples(events, number):
    return len(pcm(events, number)) // 2


def apart(one, other):
    """Return the greatest difference of two sounds of the same length, in 16-bit steps."""
    one, other = (np.frombuffer(sound, "<i2").astype(int) for sound in (one, other))
    assert one.shape == other.shape
    return int(np.abs(one - other).max())


@pytest.fixture(scope="module")
def alone():
    """The audio of each of the various utterances alone, without graphs."""
    engine = create_engine("random:tiny", device="cpu", dtype="float64", slots=1)
    heard = {}
    for number in range(1, 13):
        heard[number] = pcm(drain(engine, [various(number)]), number)
        engine.release(number)
    engine.close()
    return heard


@pytest.fixture
def simulated():
    """slots → the engine on a simulated GPU, and that GPU."""
    engines = []

    def make(slots, **options):
        direct = create_engine("random:tiny", device="cpu", dtype="float64", slots=slots).runner
        gpu = SimulatedCuda()
        with torch.inference_mode():
            runner = GraphRunner(direct.slots, direct.codec, CHUNK_SIZES, gpu)
        engines.append(DiaEngine(runner, **options))
        return engines[-1], gpu

    yield make
    for engine in engines:
        engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("slots", [6, 40])
def test_streams_that_come_and_go_are_independent(simulated, alone, slots):
    engine, gpu = simulated(slots)
    captures, dice = gpu.captures, random.Random(slots)
    numbers, cancelled, events = list(alone), set(), []
    while numbers or engine.active:
        while numbers and dice.random() < 0.3:
            engine.submit(various(numbers.pop()))
        if dice.random() < 0.02:
            cancelled.add(dice.choice(list(alone)))
            engine.cancel(max(cancelled - set(numbers), default=0))
        events.extend(engine.step())
    finished = {event.utterance for event in events if isinstance(event, Finished)}
    assert finished >= alone.keys() - cancelled
    for number in finished:
        assert apart(pcm(events, number), alone[number]) <= 1
    assert gpu.captures == captures, "everybody waits while a graph is captured"


@pytest.mark.parametrize(
    ("ahead_s", "together"), [(1000.0, True), pytest.param(-1000.0, False, marks=pytest.mark.slow)]
)
def test_chunks_wait_for_others_while_their_listeners_have_audio(simulated, alone, ahead_s, together):
    """Those of the usual size are decoded together, unless somebody would hear it."""
    engine, gpu = simulated(6)
    events = []
    for number in (1, 2, 4):
        engine.submit(replace(various(number), deadline=time.monotonic() + ahead_s))
        for _ in range(3):
            events += engine.step()
    events += drain(engine)
    usual = [batch for batch, samples in gpu.decoded if samples == LAST_CHUNK * TINY_CODEC.hop]
    assert (max(usual) > 1) is together
    for number in (1, 2, 4):
        assert apart(pcm(events, number), alone[number]) <= 1


def test_a_stream_that_pauses_while_its_chunk_waits_is_not_idle(simulated):
    """Or nothing would decode it before its listener reports."""
    engine, gpu = simulated(2, paced=True)
    gpu.lateness = 14  # The audio before arrives, and pauses the stream, while the next chunk waits.
    listened = replace(utterance(1, max_tokens=400), deadline=time.monotonic() + 1000.0, window=120_000)
    engine.submit(listened)
    steps = 0
    while engine.active:
        engine.step()
        steps += 1
        assert steps < 10_000
    assert engine.step() == []


@pytest.mark.slow
def test_words_end_within_their_audio_though_the_end_is_known_late(simulated):
    """Among all candidates end of audio comes up now and then."""
    engine, _ = simulated(6)
    wild = {"temperature": 2.0, "top_p": 1.0, "top_k": 1028, "cfg_filter_top_k": 1028, "max_tokens": 400}
    events = drain(
        engine, [utterance(number, text="One two three. " * 9, **wild) for number in (14, 16, 19, 20, 21)]
    )
    natural = 0
    for number in (14, 16, 19, 20, 21):
        total = samples(events, number)
        marks = [m for e in events if isinstance(e, Words) and e.utterance == number for m in e.marks]
        natural += total < (400 - 40) * TINY_CODEC.hop
        assert all(mark.start_sample <= mark.end_sample <= total for mark in marks)
        assert all(one.start_sample <= other.start_sample for one, other in itertools.pairwise(marks))
    assert natural


def test_host_waits_only_when_too_far_ahead(simulated):
    engine, gpu = simulated(2)
    engine.submit(utterance(1, max_tokens=1000))
    gpu.lateness = 10**6
    for _ in range(40):
        engine.step()
        assert engine.runner.steps - engine.runner.read_ends()[0] <= AHEAD + 1
    gpu.lateness = 0
    engine.step()
    waits = gpu.waits
    for _ in range(40):
        engine.step()
    assert gpu.waits == waits


def test_model_goes_before_the_codec(simulated):
    _, gpu = simulated(2)
    codec = 2 * len(CHUNK_SIZES)
    assert gpu.urgent_captures == gpu.captures - codec > 0


def test_codec_waits_for_the_step_of_its_codes(simulated):
    engine, gpu = simulated(2)
    engine.submit(utterance(1))
    while not any(isinstance(event, Audio) for event in engine.step()):
        steps = engine.runner.steps
    [model, codec] = gpu.streams
    assert model.urgent
    assert codec.waited_for[0] in model.recorded[: steps + 1]


@pytest.mark.slow
def test_streams_computed_anyway_advance(simulated):
    """Some far ahead of their listeners, and beside them too many to be gathered who are not."""
    engine, _ = simulated(40)
    for number in range(1, 41):
        ahead = 100 * AMPLE_S if number < 8 else 0.0
        one = utterance(number)
        engine.submit(replace(one, deadline=one.deadline + ahead))
    while any(stream.prefill for stream in engine.streams.by_slot.values()) or len(engine.streams) < 40:
        engine.step()
    rows = [stream.row for stream in engine.streams.by_slot.values()]
    engine.step()
    assert [stream.row for stream in engine.streams.by_slot.values()] == [row + 1 for row in rows]
    assert engine.runner.computed_anyway([3, 30]) == range(0), "few are gathered, and go on without others"


def test_prefill_takes_at_most_half_a_frame_of_device_time(simulated, monkeypatch):
    """The host has given it everything long before it is done. Its own steps take no time here."""
    monkeypatch.setattr(serving_engine, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    engine, gpu = simulated(2)
    prefill, done = engine.runner.prefill, []

    def costly(*given):
        for piece in prefill(*given):
            gpu.clock_ms += 5
            done.append(piece)
            yield piece

    engine.submit(utterance(1, max_tokens=1000))
    for _ in range(30):
        engine.step()
    engine.runner.prefill = costly
    pieces = []
    for number in (2, 3):  # By the second it is known what a piece takes.
        engine.submit(utterance(number))
        engine.step()
        pieces.append(len(done))
        engine.cancel(number)
        for _ in range(10):
            engine.step()
        del done[:]
    assert pieces[0] > pieces[1] == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_realtime_streams_follows_the_measured_times(simulated):
    """A frame of the tiny codec lasts as long as that of the published one."""
    engine, gpu = simulated(40)
    for each_ms, streams in ((0.1, 40), (1.0, 8), (100.0, 1)):
        gpu.cost_ms = each_ms.__mul__
        assert engine.runner.realtime_streams() == streams


@gpu
@needs_cuda
@pytest.mark.timeout(300)
def test_streams_finish_and_memory_is_freed():
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    engine = create_engine("random:tiny", device="cuda", slots=6)
    events = drain(engine, [utterance(number) for number in range(1, 13)])
    for number in range(1, 13):
        frames = 100 + 10 * number - TINY_DIA.last_delay - 2
        assert samples(events, number) == frames * TINY_CODEC.hop
    assert sum(isinstance(event, Finished) for event in events) == 12
    engine.close()
    del engine
    assert torch.cuda.memory_allocated() <= before + 20_000_000


@gpu
@needs_cuda
@pytest.mark.timeout(300)
def test_greedy_float64_equals_the_cpu():
    heard = []
    for device in ("cpu", "cuda"):
        engine = create_engine("random:tiny", device=device, dtype="float64", slots=3)
        events = drain(engine, [utterance(number, 0.0) for number in (1, 2, 3)])
        engine.close()
        heard.append([pcm(events, number) for number in (1, 2, 3)])
    for one, other in zip(*heard, strict=True):
        assert apart(one, other) <= 1


@gpu
@needs_cuda
@pytest.mark.timeout(300)
@pytest.mark.parametrize("slots", [6, 40])
def test_streams_are_independent_on_a_gpu(alone, slots):
    """Sampled streams are compared at their beginning: one rounding at a tie changes all that follows."""
    engine = create_engine("random:tiny", device="cuda", dtype="float64", slots=slots)
    events = drain(engine, [various(number) for number in alone])
    engine.close()
    for number, whole in alone.items():
        if number % 3 == 0:
            assert apart(pcm(events, number), whole) <= 1
        else:
            assert apart(pcm(events, number)[:2000], whole[:2000]) <= 1


@gpu
@needs_cuda
@pytest.mark.timeout(300)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_every_precision_is_reproducible(dtype):
    engine = create_engine("random:tiny", device="cuda", dtype=dtype, slots=4)
    heard = []
    for _ in range(2):
        heard.append(pcm(drain(engine, [utterance(1)]), 1))
        engine.release(1)
    engine.close()
    assert heard[0] == heard[1]
    assert len(heard[0]) == 2 * (110 - TINY_DIA.last_delay - 2) * TINY_CODEC.hop


@gpu
@needs_cuda
@pytest.mark.timeout(300)
def test_other_streams_survive_out_of_memory():
    engine = create_engine("random:tiny", device="cuda", slots=4)
    for number in (1, 2):
        engine.submit(utterance(number))
    for _ in range(10):
        engine.step()
    step, failed = engine.runner.step, []

    def stingy(slot_ids, shape):
        if not failed:
            failed.append(slot_ids)
            torch.empty(2**50, device="cuda", dtype=torch.uint8)
        step(slot_ids, shape)

    engine.runner.step = stingy
    events = drain(engine)
    engine.close()
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert sum(isinstance(event, Failed) for event in events) == 1
