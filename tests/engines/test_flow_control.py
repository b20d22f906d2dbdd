"""Flow control keeps an engine within a window of its listeners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from streaming_server.engines.espeak.engine import EspeakEngine
from streaming_server.engines.flow_control import FlowControlled
from streaming_server.types import (
    DEFAULT_VOICE,
    Audio,
    Event,
    Finished,
    Generation,
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
