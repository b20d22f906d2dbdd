"""Flow control keeps an engine within a window of its listeners."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from streaming_server.engines.base import Engine
from streaming_server.engines.espeak.engine import EspeakEngine
from streaming_server.engines.flow_control import FlowControlled
from streaming_server.types import (
    DEFAULT_VOICE,
    Audio,
    ChunkPolicy,
    EngineInfo,
    Event,
    Finished,
    Generation,
    MemoryReport,
    Utterance,
    WordMark,
    Words,
)

LONG = "the quick brown fox jumps over the lazy dog near the bank of the wide river " * 5
WINDOW = 128 * 1024


@pytest.fixture(scope="module")
def espeak() -> Iterator[EspeakEngine]:
    engine = EspeakEngine()
    yield engine
    engine.close()


@dataclass(slots=True)
class Heard:
    pcm: bytes
    marks: list[WordMark]
    ended: bool
    max_ahead: int


def utterance(number: int, text: str = LONG, speed: float | None = None, window: int = WINDOW) -> Utterance:
    return Utterance(number, number, text, DEFAULT_VOICE, Generation(speed=speed), 0.0, window=window)


def add(heard: Heard, events: list[Event], number: int) -> None:
    for event in events:
        if event.utterance == number:
            match event:
                case Audio(_, pcm):
                    heard.pcm += pcm
                case Words(_, marks):
                    heard.marks += marks
                case Finished():
                    heard.ended = True


def listen(engine: FlowControlled, number: int, step: int) -> Heard:
    """Play to the end, taking `step` bytes whenever the engine pauses."""
    heard, taken = Heard(b"", [], False, 0), 0
    while not heard.ended:
        while engine.active:
            add(heard, engine.step(), number)
            heard.max_ahead = max(heard.max_ahead, len(heard.pcm) - taken)
        assert heard.ended or taken < len(heard.pcm)
        taken = min(len(heard.pcm), taken + step)
        engine.taken(number, taken)
    return heard


@pytest.mark.parametrize("speed", [1.0, 0.25])
def test_pausing_does_not_change_the_audio(espeak: EspeakEngine, speed: float) -> None:
    free = FlowControlled(espeak)
    free.submit(utterance(1, speed=speed, window=1 << 40))
    expected = listen(free, 1, 0)
    held = FlowControlled(espeak)
    held.submit(utterance(2, speed=speed))
    heard = listen(held, 2, 30_000)
    assert heard.pcm == expected.pcm
    assert heard.marks == expected.marks
    assert expected.max_ahead > 4 * WINDOW
    assert heard.max_ahead < WINDOW + 5 * espeak.info.sample_rate * 2


def test_a_paused_utterance_does_not_delay_others(espeak: EspeakEngine) -> None:
    engine = FlowControlled(espeak)
    engine.submit(utterance(3))
    engine.submit(utterance(4, "Hello."))
    heard = Heard(b"", [], False, 0)
    while engine.active:
        add(heard, engine.step(), 4)
    assert heard.ended
    engine.cancel(3)
    engine.taken(3, 1 << 30)
    assert engine.active == 0


@pytest.mark.parametrize("window", [WINDOW, 20_001, 30_000])
def test_no_more_than_a_window_is_sent_unread_in_quarters(espeak: EspeakEngine, window: int) -> None:
    """Also if the utterance is made to its end in the step in which the window is full."""
    engine = FlowControlled(espeak)
    engine.submit(utterance(5, window=window))
    sizes = []
    while engine.active:
        for event in engine.step():
            assert not isinstance(event, Finished)
            if isinstance(event, Audio):
                sizes.append(len(event.pcm))
    assert sum(sizes) == window // 2 * 2
    assert max(sizes) <= window // 4
    engine.cancel(5)


class SilentSteps(Engine):
    """Gives audio with every `every`th step only. Each step takes `STEP_S` of a clock that it moves."""

    STEP_S = 1.0

    def __init__(self, clock: list[float], every: int) -> None:
        self.clock = clock
        self.every = every
        self.steps: dict[int, int] = {}

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("silent", 24000, 1, False, ("en",), ChunkPolicy(0, 1, 400, 0.0), frozenset())

    @property
    def active(self) -> int:
        return len(self.steps)

    def submit(self, utterance: Utterance) -> None:
        self.steps[utterance.id] = 0

    def cancel(self, utterance_id: int) -> None:
        self.steps.pop(utterance_id, None)

    def step(self) -> list[Event]:
        self.clock[0] += self.STEP_S
        for number in self.steps:
            self.steps[number] += 1
        due = [number for number, steps in self.steps.items() if steps % self.every == 0]
        ended = [number for number in due if self.steps[number] == 3 * self.every]
        for number in ended:
            del self.steps[number]
        return [
            Finished(number, 3 * self.every * self.STEP_S) if number in ended else Audio(number, bytes(1000))
            for number in due
        ]

    def memory(self) -> MemoryReport:
        raise NotImplementedError


def test_the_time_of_steps_without_events_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    engine = FlowControlled(SilentSteps(clock, every=4))
    engine.submit(utterance(6, window=1500))
    while engine.active:
        assert not any(isinstance(event, Finished) for event in engine.step())
    engine.taken(6, 1500)
    events: list[Event] = []
    while engine.active:
        events += engine.step()
    (finished,) = [event for event in events if isinstance(event, Finished)]
    assert finished.busy_s == clock[0]


def test_an_utterance_that_ends_is_charged_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    engine = FlowControlled(SilentSteps(clock, every=4))
    engine.submit(utterance(7))
    for _ in range(8):
        engine.step()
    engine.submit(utterance(8, window=1500))
    events: list[Event] = []
    while engine.active:
        events += engine.step()
    engine.taken(8, 1500)
    while engine.active:
        events += engine.step()
    (busy_s,) = [event.busy_s for event in events if isinstance(event, Finished) and event.utterance == 8]
    assert busy_s == 4 / 2 + 4 + 12
