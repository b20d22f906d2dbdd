"""Simulated playback."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.bench.playout import Playout


def test_audio_in_time_does_not_stall() -> None:
    playout = Playout()
    playout.push(10.0, 1.0, text_at=9.0)
    playout.push(10.9, 1.0, text_at=9.0)
    playout.push(12.0, 1.0, text_at=9.0)
    assert playout.first_at == 10.0
    assert playout.worst == 0.0
    assert playout.dry_at == 13.0


def test_a_stall_lasts_from_the_end_of_the_audio_to_the_next() -> None:
    playout = Playout()
    playout.push(10.0, 1.0, text_at=9.0)
    playout.push(11.5, 1.0, text_at=9.0)
    assert playout.stalls == [0.5]


def test_a_stall_delays_later_audio_and_is_counted_once() -> None:
    playout = Playout()
    playout.push(10.0, 1.0, text_at=9.0)
    playout.push(11.5, 1.0, text_at=9.0)
    playout.push(12.5, 1.0, text_at=9.0)
    playout.push(13.7, 1.0, text_at=9.0)
    assert playout.stalls == pytest.approx([0.5, 0.2])
    assert playout.worst == 0.5
    assert playout.total == pytest.approx(0.7)


def test_waiting_for_text_is_not_a_stall() -> None:
    playout = Playout()
    playout.push(10.0, 1.0, text_at=9.0)
    playout.push(15.0, 1.0, text_at=14.8)
    assert playout.stalls == pytest.approx([0.2])


def test_a_stall_at_the_end_of_the_measurement_counts() -> None:
    playout = Playout()
    playout.push(10.0, 1.0, text_at=9.0)
    playout.cut(14.0, text_at=9.0)
    assert playout.worst == 3.0


def test_there_is_no_stall_before_the_first_audio() -> None:
    playout = Playout()
    playout.cut(14.0, text_at=9.0)
    assert not playout.started
    assert playout.worst == 0.0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 5)), min_size=1, max_size=20))
def test_playback_ends_after_all_audio_and_all_stalls(pieces: list[tuple[float, float]]) -> None:
    playout, now = Playout(), 100.0
    for gap, duration in pieces:
        now += gap
        playout.push(now, duration, text_at=0.0)
    played = sum(duration for _, duration in pieces)
    assert playout.dry_at == pytest.approx(playout.first_at + played + playout.total)
