"""Streams that share too little memory wait for each other and sound as if they were alone."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from helpers.spoken import drain, pcm  # noqa: E402

from streaming_server.engines.dia.model.config import TINY_DIA  # noqa: E402
from streaming_server.engines.dia.model.paged_cache import PageLayout  # noqa: E402
from streaming_server.engines.dia.serving.engine import DiaEngine  # noqa: E402
from streaming_server.engines.dia.serving.graphs import GraphRunner  # noqa: E402
from streaming_server.engines.dia.serving.load import create_engine  # noqa: E402
from streaming_server.engines.dia.serving.page_table import PageTable  # noqa: E402
from streaming_server.engines.dia.serving.runner import Runner  # noqa: E402
from streaming_server.types import DEFAULT_VOICE, Finished, Generation, Utterance  # noqa: E402


class SharingRunner(Runner):
    """The plain runner with a table of pages, as the runner for a GPU has one, in which it keeps nothing."""

    codec_batch = 6

    def __init__(self, slots, codec, pages, patience=0):
        super().__init__(slots, codec)
        self.codec_patience = patience
        self.table = PageTable(PageLayout.of(TINY_DIA, 512, 128), pages)
        self.refused = 0
        self.granted = {}

    def admit(self, slot, text, frames):
        self.granted[slot] = 0
        return self.table.admit(slot, text, frames)

    def grow(self, slot, frames):
        granted = self.table.grow(slot, frames)
        self.refused += not granted
        if granted:
            self.granted[slot] = max(frames, self.granted[slot])
        return granted

    def release(self, slot):
        self.table.release(slot)

    def step(self, slot_ids, shape):
        for slot in slot_ids:
            row = int(self.slots.ints[slot, 0])
            assert row < self.granted[slot], "it advances without memory for the row it is fed"
        super().step(slot_ids, shape)

    def decode(self, chunks, frames):
        for chunk in chunks:
            super().decode([chunk], frames)


@pytest.fixture
def plain():
    made = create_engine("random:tiny", device="cpu", slots=5)
    yield made
    made.close()


def said(number, frames, ahead_s=0.0):
    generation = Generation(max_tokens=frames, seed=number)
    return Utterance(number, number, "Hi there.", DEFAULT_VOICE, generation, time.monotonic() + ahead_s)


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, GraphRunner.codec_patience])
def test_streams_that_outgrow_their_memory_wait_and_all_end(plain, patience):
    """Nine letters make one expect two seconds; these take up to five."""
    lengths = {number: 430 - 40 * number for number in range(1, 7)}
    alone = {}
    for number, frames in lengths.items():
        alone[number] = pcm(drain(plain, [said(number, frames)]), number)
        plain.release(number)
    runner = SharingRunner(plain.runner.slots, plain.runner.codec, 20, patience)
    engine = DiaEngine(runner)
    events = drain(engine, [said(number, frames, ahead_s=1000.0) for number, frames in lengths.items()])
    assert {number: pcm(events, number) for number in lengths} == alone
    assert runner.refused
    assert runner.table.free == 20
    assert sum(isinstance(event, Finished) for event in events) == 6


def test_cancelled_streams_give_their_memory_to_those_that_wait(plain):
    runner = SharingRunner(plain.runner.slots, plain.runner.codec, pages=12)
    engine = DiaEngine(runner)
    for number in range(1, 5):
        engine.submit(said(number, 400))
    for _ in range(200):
        engine.step()
    assert engine.active == 4
    for number in range(1, 4):
        engine.cancel(number)
    assert len(pcm(drain(engine), 4)) > 0
    assert runner.table.free == 12


def test_step_sleeps_only_if_all_wait_for_their_listeners_or_for_memory(plain, monkeypatch):
    runner = SharingRunner(plain.runner.slots, plain.runner.codec, pages=20)
    engine = DiaEngine(runner, paced=True)
    engine.submit(replace(said(1, 400), window=20_000))
    sleeps = []
    monkeypatch.setattr(time, "sleep", sleeps.append)
    while engine.active:
        engine.step()
    with monkeypatch.context() as full:
        full.setattr(runner, "admit", lambda *_: False)
        engine.submit(said(2, 100))
        assert not sleeps
        assert engine.active == 1
        assert engine.step() == []
        assert len(sleeps) == 1
    assert pcm(drain(engine), 2)
    assert len(sleeps) == 1
