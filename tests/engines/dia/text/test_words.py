"""Estimated word times keep the promises that measured ones would."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from streaming_server.engines.dia.text.words import WordTimer


def test_words_share_known_audio_by_length():
    clock = WordTimer("aa bb cccc", 0, 10, 0, pace=1.0)
    marks = clock.marks(1000, 1000, final=True)
    assert [(mark.start_sample, mark.end_sample) for mark in marks] == [(0, 200), (300, 500), (600, 1000)]
    assert all(mark.estimated for mark in marks)


def test_words_are_marked_only_with_their_audio():
    clock = WordTimer("one two", 0, 7, 0, pace=100.0)
    assert [mark.start for mark in clock.marks(300, 900, final=False)] == [0]
    assert clock.marks(400, 900, final=False) == ()
    assert [mark.start for mark in clock.marks(500, 900, final=False)] == [4]


def test_remaining_words_share_remaining_audio():
    clock = WordTimer("one two three", 0, 13, 0, pace=1000.0)
    clock.marks(100, 4000, final=False)
    marks = clock.marks(4000, 4000, final=True)
    assert [mark.start for mark in marks] == [4, 8]
    assert marks[-1].end_sample <= 4000


text = st.text("ab .", max_size=60)
arrivals = st.lists(st.integers(1, 5000), min_size=1, max_size=12)


@given(text, arrivals, st.floats(1.0, 3000.0), st.integers(0, 10_000))
def test_words_are_marked_once_in_order_within_the_audio(text, arrivals, pace, origin):
    clock = WordTimer(text, 0, len(text), origin, pace)
    until, marks = origin, []
    for index, more in enumerate(arrivals):
        until += more
        final = index == len(arrivals) - 1
        known = until if final else until + 5000
        new = clock.marks(until, known, final)
        assert all(mark.start_sample < until and mark.end_sample <= known for mark in new)
        marks.extend(new)
    assert [(mark.start, mark.end) for mark in marks] == _words(text)
    assert all(a.start_sample <= b.start_sample for a, b in itertools.pairwise(marks))
    assert all(mark.start_sample <= mark.end_sample for mark in marks)


def _words(text):
    found, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        if any(character.isalnum() for character in word):
            found.append((at, at + len(word)))
        at += len(word)
    return found
