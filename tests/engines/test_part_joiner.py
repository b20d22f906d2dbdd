"""Parts of a sentence are joined without gaps."""

from __future__ import annotations

from array import array

import pytest

from streaming_server.engines.part_joiner import EDGE_S, PartJoiner, PartPlace
from streaming_server.types import Audio, Event, WordMark, Words

RATE = 1000
EDGE = round(EDGE_S * RATE)
"""Times are samples, as there is one sample per millisecond."""


def sound(samples: int) -> bytes:
    return array("h", [9000] * samples).tobytes()


def silence(samples: int) -> bytes:
    return array("h", [40] * samples).tobytes()


def length(events: list[Event]) -> int:
    return sum(len(event.pcm) for event in events if isinstance(event, Audio)) // 2


def marks_of(events: list[Event]) -> list[WordMark]:
    return [mark for event in events if isinstance(event, Words) for mark in event.marks]


def joined(pcm: bytes, marks: list[WordMark], place: PartPlace, piece: int = 7) -> list[Event]:
    """Return what comes of a part that begins at sample 100 of its sentence, given in pieces."""
    joiner = PartJoiner(5, place, 100, RATE)
    joiner.words(tuple(marks))
    events = [
        event for at in range(0, len(pcm), 2 * piece) for event in joiner.audio(pcm[at : at + 2 * piece])
    ]
    events += joiner.finish()
    assert joiner.samples == 100 + length(events)
    return events


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_silence_at_joints_is_dropped(piece: int) -> None:
    pcm = silence(200) + sound(50) + silence(90) + sound(60) + silence(300)
    marks = [WordMark(0, 1, 200, 250), WordMark(2, 3, 340, 700)]
    middle = joined(pcm, marks, PartPlace(10, first=False, last=False), piece)
    assert length(middle) == EDGE + 200 + EDGE
    assert marks_of(middle) == [
        WordMark(10, 11, 100 + EDGE, 150 + EDGE),
        WordMark(12, 13, 240 + EDGE, 300 + 2 * EDGE),
    ]
    first = joined(pcm, marks, PartPlace(0, first=True, last=False), piece)
    assert length(first) == 400 + EDGE
    last = joined(pcm, marks, PartPlace(0, first=False, last=True), piece)
    assert length(last) == EDGE + 200 + 300
    assert marks_of(last)[-1].end_sample == 100 + 700 - (200 - EDGE)


def test_words_come_before_the_audio_they_describe() -> None:
    pcm = silence(30) + sound(200) + silence(100)
    marks = [WordMark(at, at + 1, 30 + 50 * at, 80 + 50 * at) for at in range(4)]
    heard, marked = 100, 0
    for event in joined(pcm, marks, PartPlace(0, first=False, last=False)):
        if isinstance(event, Audio):
            heard += len(event.pcm) // 2
            described = [mark for mark in marks if mark.start_sample - 30 + EDGE + 100 < heard]
            assert marked >= len(described)
        elif isinstance(event, Words):
            marked += len(event.marks)
    assert marked == 4


def test_a_pause_follows_a_clause() -> None:
    place = PartPlace(0, first=False, last=False, pause_s=0.15)
    assert length(joined(sound(50) + silence(400), [], place)) == 50 + EDGE + 150


@pytest.mark.parametrize("pcm", [b"", silence(500)])
def test_a_part_without_sound_leaves_nothing(pcm: bytes) -> None:
    place = PartPlace(0, first=False, last=False, pause_s=0.15)
    events = joined(pcm, [WordMark(0, 1, 10, 400)], place)
    assert length(events) == 0
    assert marks_of(events) == [WordMark(0, 1, 100, 100)]
