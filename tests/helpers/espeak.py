"""An eSpeak NG engine that speaks one utterance at a time."""

from __future__ import annotations

from itertools import count

from streaming_server.engines.espeak.engine import EspeakEngine
from streaming_server.types import (
    BUILTIN_VOICES,
    Audio,
    Event,
    Finished,
    Generation,
    Utterance,
    Voice,
    WordMark,
    Words,
)


class Speaker:
    """Drives one engine for a whole module: a process can open the library once at a time."""

    def __init__(self) -> None:
        self.engine = EspeakEngine()
        self.ids = count(1)

    def submit(self, text: str, voice: str = "aria", deadline: float = 0.0, **generation: object) -> int:
        utterance = next(self.ids)
        options = Generation(**generation)  # type: ignore[arg-type]
        self.engine.submit(Utterance(utterance, utterance, text, voice_named(voice), options, deadline))
        return utterance

    def drain(self) -> list[Event]:
        events: list[Event] = []
        while self.engine.active:
            events += self.engine.step()
        return events

    def say(self, text: str, voice: str = "aria", **generation: object) -> list[Event]:
        self.submit(text, voice, **generation)
        return self.drain()

    def pcm(self, text: str, voice: str = "aria", **generation: object) -> bytes:
        return audio_of(self.say(text, voice, **generation))


def audio_of(events: list[Event]) -> bytes:
    return b"".join(event.pcm for event in events if isinstance(event, Audio))


def marks_of(events: list[Event]) -> list[WordMark]:
    return [mark for event in events if isinstance(event, Words) for mark in event.marks]


def voice_named(voice: str, style: str = "plain") -> Voice:
    return next((known for known in BUILTIN_VOICES if known.id == voice), Voice(voice, voice, style))


def check_order(text: str, events: list[Event]) -> bool:
    """Assert the guarantees about the events of one utterance."""
    sent, at, offset = 0, 0, 0
    assert isinstance(events[-1], Finished)
    total = len(audio_of(events)) // 2
    for event in events[:-1]:
        if isinstance(event, Audio):
            assert event.pcm
            assert len(event.pcm) % 2 == 0
            sent += len(event.pcm) // 2
            continue
        assert isinstance(event, Words)
        assert event.marks
        for mark in event.marks:
            assert offset <= mark.start < mark.end <= len(text)
            assert max(at, sent) <= mark.start_sample <= mark.end_sample <= total
            offset, at = mark.end, mark.end_sample
    return True
