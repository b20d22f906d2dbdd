"""On a GPU the same engine speaks through CUDA graphs."""

from __future__ import annotations

import time

import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.config import TINY_CODEC, TINY_DIA  # noqa: E402
from streaming_server.engines.dia.engine import drain  # noqa: E402
from streaming_server.engines.dia.graphs import BUCKETS, _bucket, _filled  # noqa: E402
from streaming_server.engines.dia.load import create_engine  # noqa: E402
from streaming_server.types import DEFAULT_VOICE, Audio, Finished, Generation, Utterance  # noqa: E402

gpu = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_a_batch_is_filled_up_to_the_next_size_there_is_a_graph_for():
    assert [_bucket(count, 256) for count in (1, 3, 9, 65, 256)] == [1, 4, 16, 96, 256]
    assert _bucket(9, 10) == 10
    assert sorted(BUCKETS) == list(BUCKETS)


def test_a_batch_is_filled_with_slots_that_are_not_in_it():
    filled = _filled([2, 5], 4, 6)
    assert filled == [2, 5, 0, 1]


def utterance(number, temperature=1.2):
    generation = Generation(max_tokens=100 + 10 * number, seed=number, temperature=temperature)
    return Utterance(number, number, "Hello there, all of you.", DEFAULT_VOICE, generation, time.monotonic())


def samples(events, number):
    return sum(len(e.pcm) // 2 for e in events if isinstance(e, Audio) and e.utterance == number)


@gpu
@needs_cuda
@pytest.mark.timeout(300)
def test_streams_speak_to_their_end_and_memory_is_returned():
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
def test_greedy_speech_in_double_precision_is_the_cpu_s():
    heard = []
    for device in ("cpu", "cuda"):
        engine = create_engine("random:tiny", device=device, dtype="float64", slots=3)
        events = drain(engine, [utterance(number, 0.0) for number in (1, 2, 3)])
        engine.close()
        heard.append(
            [
                torch.frombuffer(
                    bytearray(b"".join(e.pcm for e in events if isinstance(e, Audio) and e.utterance == n)),
                    dtype=torch.int16,
                )
                for n in (1, 2, 3)
            ]
        )
    for one, other in zip(*heard, strict=True):
        assert one.shape == other.shape
        assert int((one.int() - other.int()).abs().max()) <= 1
