"""An engine held back by how much is taken from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from streaming_server.engines.espeak.engine import EspeakEngine
from streaming_server.engines.flow_control import Restrained
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
    furthest: int


def utterance(number: int, text: str = LONG, speed: float | None = None) -> Utterance:
    return Utterance(number, number, text, DEFAULT_VOICE, Generation(speed=speed), 0.0)


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


def listen(engine: Restrained, number: int, step: int) -> Heard:
    """To the end, taking `step` bytes whenever the engine stands still."""
    heard, taken = Heard(b"", [], False, 0), 0
    while not heard.ended:
        while engine.active:
            add(heard, engine.step(), number)
            heard.furthest = max(heard.furthest, len(heard.pcm) - taken)
        assert heard.ended or taken < len(heard.pcm)
        taken = min(len(heard.pcm), taken + step)
        engine.taken(number, taken)
    return heard


@pytest.mark.parametrize("speed", [1.0, 0.25])
def test_what_is_held_back_and_said_again_sounds_as_if_it_had_not_been(
    espeak: EspeakEngine, speed: float
) -> None:
    free = Restrained(espeak, 1 << 40)
    free.submit(utterance(1, speed=speed))
    expected = listen(free, 1, 0)
    held = Restrained(espeak, WINDOW)
    held.submit(utterance(2, speed=speed))
    heard = listen(held, 2, 30_000)
    assert heard.pcm == expected.pcm
    assert heard.marks == expected.marks
    assert expected.furthest > 4 * WINDOW
    assert heard.furthest < WINDOW + 5 * espeak.info.sample_rate * 2


def test_one_that_is_held_back_keeps_no_other_waiting(espeak: EspeakEngine) -> None:
    engine = Restrained(espeak, WINDOW)
    engine.submit(utterance(3))
    engine.submit(utterance(4, "Hello."))
    heard = Heard(b"", [], False, 0)
    while engine.active:
        add(heard, engine.step(), 4)
    assert heard.ended
    engine.cancel(3)
    engine.taken(3, 1 << 30)
    assert engine.active == 0
