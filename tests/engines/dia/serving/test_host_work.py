"""The host's work for a step does not grow with the number of streams."""

from __future__ import annotations

import sys
import time
from collections import Counter

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from streaming_server.bench.dia.host_time import engine_without_device  # noqa: E402
from streaming_server.engines.dia.model import columns  # noqa: E402
from streaming_server.types import DEFAULT_VOICE, Audio, Generation, Utterance  # noqa: E402

STEPS = 80
"""Enough for chunks of the full size."""


def speaking_engine(count):
    """Return an engine in which `count` streams began at once, so that their chunks are due at once."""
    engine = engine_without_device(count, paced=True)
    for number in range(1, count + 1):
        generation = Generation(max_tokens=3000, seed=number)
        engine.submit(Utterance(number, number, "Hello.", DEFAULT_VOICE, generation, time.monotonic()))
    for _ in range(STEPS):
        engine.step()
    assert len(engine.schedule.running) == count
    return engine


def lines_run(call):
    """Return the lines of Python that a call executes, those of comprehensions once for each round."""
    lines = Counter()

    def trace(frame, event, _):
        if event == "line":
            lines[frame.f_code.co_filename, frame.f_lineno] += 1
        return trace

    sys.settrace(trace)
    try:
        result = call()
    finally:
        sys.settrace(None)
    return lines.total(), result


def quiet_step_lines(count):
    """Return the lines of a step in which no chunk is complete, after one of `count` streams has ended."""
    engine = speaking_engine(count)
    quiet = []
    for number in range(1, 41):
        if number < count:
            engine.cancel(number)
        lines, events = lines_run(lambda: (engine.active, engine.step())[1])
        if not any(isinstance(event, Audio) for event in events):
            quiet.append(lines)
    engine.close()
    return max(quiet[:10])


def test_quiet_step_runs_as_many_lines_for_many_streams_as_for_few():
    few, many = quiet_step_lines(2), quiet_step_lines(48)
    assert many <= few + 20


def report_lines(count):
    """Lines of what is done when a listener has heard something, and of a cancellation."""
    engine = speaking_engine(count)
    lines = [
        lines_run(lambda: engine.taken(1, 100_000))[0],
        lines_run(lambda: engine.cancel(1))[0],
    ]
    engine.close()
    return lines


def test_reports_and_cancellations_look_at_one_stream():
    few, many = report_lines(2), report_lines(48)
    assert all(one <= other + 10 for one, other in zip(many, few, strict=True))


def test_step_size_that_is_real_time_is_measured_outside_inference_mode():
    """Graphs read tensors that were made in inference mode, as `create_engine` makes them."""
    engine = engine_without_device(4)
    assert engine.runner.realtime_streams() == 4
    assert engine.runner.codec_seconds(1, 10) > 0
    engine.close()


def test_every_graph_can_be_timed():
    engine = engine_without_device(2)
    times = engine.runner.prefill_seconds()
    assert list(times) == ["text 64", "text 128", "text 256", "text 512", "text 1024", "128 rows"]
    assert set(engine.runner.slots.ints[:, 0].tolist()) == {0}, "the slots are as they were"
    engine.close()


def test_steps_are_timed_with_one_long_stream_in_eight():
    slots = engine_without_device(16).runner.slots
    with torch.inference_mode():
        slots.pretend(1024, 256, 8)
    positions = slots.ints[:, columns.POSITION].tolist()
    assert [slot for slot, position in enumerate(positions) if position > 2600] == [7, 15]
    assert positions.count(1024) == 14
    assert (slots.paged.table > 0).all()
