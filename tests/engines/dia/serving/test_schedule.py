"""Rows and events of running streams."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("torch")

from streaming_server.engines.dia.serving.context import ContextState
from streaming_server.engines.dia.serving.schedule import AMPLE_S, URGENT_S, Schedule
from streaming_server.engines.dia.serving.slots import SamplingParams
from streaming_server.engines.dia.serving.stream import Stream
from streaming_server.types import DEFAULT_VOICE, Generation, Utterance

DELAY = 15
RATE = 44100


@pytest.fixture
def schedule():
    return Schedule(DELAY, RATE)


def stream(schedule, slot, due, row=0, limit=1000, **fields):
    deadline = time.monotonic() + fields.pop("ahead_s", 0.0)
    utterance = Utterance(slot, slot, "Hello.", DEFAULT_VOICE, Generation(), deadline)
    made = Stream(utterance, ContextState(), schedule.steps, slot=slot, due=due, limit=limit, **fields)
    made.offset = row
    schedule.set_running(made, True)
    return made


def advance(schedule, steps=1):
    for _ in range(steps):
        schedule.advance(schedule.running)


def test_a_step_advances_running_streams_only(schedule):
    one, other = stream(schedule, 0, due=50), stream(schedule, 1, due=50, row=7)
    advance(schedule, 3)
    schedule.set_running(other, False)
    advance(schedule, 2)
    assert (one.row, other.row) == (5, 10)
    schedule.set_running(other, True)
    advance(schedule)
    assert (one.row, other.row) == (6, 11)


def test_a_step_of_some_leaves_the_others_where_they_are(schedule):
    one, other = stream(schedule, 0, due=50), stream(schedule, 1, due=50)
    schedule.advance([other])
    assert (one.row, other.row) == (0, 1)
    assert schedule.batch([other])[1].frames == 2
    assert schedule.batch(schedule.running)[1].frames == 2
    schedule.advance([other])
    assert schedule.batch(schedule.running)[1].frames == 3
    schedule.advance([one])
    assert schedule.batch(schedule.running)[1].frames == 3
    advance(schedule)
    assert schedule.batch(schedule.running)[1].frames == 4


def test_streams_arrive_when_their_chunk_is_due(schedule):
    soon, late = stream(schedule, 0, due=2), stream(schedule, 1, due=5)
    advance(schedule)
    assert schedule.arrived() == []
    schedule.advance([late])
    assert schedule.arrived() == []
    advance(schedule)
    assert schedule.arrived() == [soon]
    advance(schedule)
    assert schedule.arrived() == []
    advance(schedule)
    assert schedule.arrived() == [late]


def test_a_stream_arrives_when_it_has_nothing_left_to_generate(schedule):
    one = stream(schedule, 0, due=500, limit=10)
    advance(schedule, 10 + DELAY - 2)
    assert schedule.arrived() == []
    advance(schedule)
    assert schedule.arrived() == [one]


def test_a_stream_that_rests_is_expected_again_when_it_runs(schedule):
    one = stream(schedule, 0, due=3)
    stream(schedule, 1, due=500)
    advance(schedule, 2)
    schedule.set_running(one, False)
    advance(schedule, 5)
    assert schedule.arrived() == []
    schedule.set_running(one, True)
    advance(schedule)
    assert schedule.arrived() == [one]


def test_a_batch_covers_its_streams(schedule):
    stream(schedule, 2, due=50, row=30, ids=b"abc", candidates=80)
    stream(schedule, 0, due=50, ids=b"abcdef", sampling=SamplingParams(temperature=0.0))
    advance(schedule, 4)
    slots, shape = schedule.batch(schedule.running)
    assert slots == [0, 2]
    assert (shape.frames, shape.text, shape.candidates, shape.sample) == (35, 6, 80, True)


def test_streams_with_ample_audio_yield_to_one_about_to_underrun(schedule):
    stream(schedule, 0, due=50, ahead_s=100.0)
    assert schedule.prioritized() == {}
    urgent = stream(schedule, 1, due=50)
    middling = stream(schedule, 2, due=50, ahead_s=(AMPLE_S + URGENT_S) / 2)
    assert schedule.prioritized() == {1: urgent, 2: middling}
    urgent.emitted = RATE * 10
    schedule.buffered(urgent)
    assert schedule.prioritized() == {}


def test_a_stream_that_comes_late_is_prioritized_at_once(schedule):
    stream(schedule, 0, due=50, ahead_s=100.0)
    middling = stream(schedule, 1, due=50, ahead_s=(AMPLE_S + URGENT_S) / 2)
    assert schedule.prioritized() == {}
    urgent = stream(schedule, 2, due=50)
    assert schedule.prioritized() == {1: middling, 2: urgent}


def test_a_stream_is_prioritized_once_its_audio_runs_out(schedule):
    stream(schedule, 0, due=50, ahead_s=100.0)
    waning = stream(schedule, 1, due=50, ahead_s=URGENT_S + 0.1)
    ends = time.monotonic() + 10
    while not schedule.prioritized():
        assert time.monotonic() < ends
    assert schedule.prioritized() == {1: waning}
    assert waning.underrun_at(RATE) - URGENT_S < time.monotonic()


def test_no_stream_yields_if_all_are_about_to_underrun(schedule):
    for slot in range(3):
        stream(schedule, slot, due=50)
    assert schedule.prioritized() == {}


def test_a_stream_has_ample_audio_for_as_long_as_its_audio_lasts(schedule):
    stream(schedule, 0, due=50, ahead_s=AMPLE_S + 0.05)
    urgent = stream(schedule, 1, due=50)
    assert schedule.prioritized() == {1: urgent}
    deadline = time.monotonic() + 10
    while schedule.prioritized():
        assert time.monotonic() < deadline
