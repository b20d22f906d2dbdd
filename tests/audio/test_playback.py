"""Estimated playback position."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.audio.playback import PlaybackClock
from streaming_server.types import SAMPLE_RATES

rates = st.sampled_from(SAMPLE_RATES)


def test_a_burst_plays_in_real_time() -> None:
    clock = PlaybackClock(1000)
    assert (clock.played(now=7.0), clock.lead_s(now=7.0)) == (0, 0.0)
    for _ in range(5):
        clock.sent(1000, now=10.0)
    assert clock.lead_s(now=10.0) == 5.0
    assert clock.played(now=12.5) == 2500
    assert clock.lead_s(now=12.5) == 2.5
    assert clock.wait_s(2.0, now=12.5) == 0.5
    assert clock.wait_s(2.0, now=13.0) == 0.0


def test_playback_stops_when_dry_and_continues_with_the_next_audio() -> None:
    clock = PlaybackClock(1000)
    clock.sent(1000, now=10.0)
    assert clock.played(now=20.0) == 1000
    assert clock.lead_s(now=20.0) == 0.0
    clock.sent(1000, now=20.0)
    assert clock.played(now=20.0) == 1000
    assert clock.played(now=20.25) == 1250
    assert clock.played(now=30.0) == 2000


def test_audio_that_arrives_in_time_plays_on() -> None:
    clock = PlaybackClock(1000)
    clock.sent(1000, now=10.0)
    clock.sent(1000, now=10.75)
    assert clock.played(now=11.5) == 1500


def test_reports_replace_the_estimate() -> None:
    clock = PlaybackClock(1000)
    clock.sent(5000, now=10.0)
    assert clock.report(1800)
    assert not clock.report(1800)
    assert clock.played(now=12.0) == 1800
    assert clock.played(now=60.0) == 1800
    assert clock.lead_s(now=60.0) == 3.2


def test_only_reports_lower_the_lead_of_a_listener_that_reports() -> None:
    clock = PlaybackClock(1000)
    clock.sent(5000, now=10.0)
    clock.report(1000)
    assert clock.wait_s(3.0, now=30.0) == inf
    clock.report(2000)
    assert clock.wait_s(3.0, now=30.0) == 0.0


def test_reports_are_clamped() -> None:
    clock = PlaybackClock(1000)
    clock.report(-5)
    assert clock.played(now=10.0) == 0
    clock.sent(1000, now=10.0)
    clock.report(700)
    clock.report(300)
    assert clock.played(now=11.0) == 700
    clock.report(10**12)
    assert clock.played(now=11.0) == 1000
    clock.sent(1000, now=11.0)
    assert clock.played(now=20.0) == 1000


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.one_of(st.integers(0, 50_000), st.none(), st.integers(-50_000, -1)))
    ),
    rates,
)
def test_the_position_never_goes_back_nor_exceeds_what_was_sent(
    events: list[tuple[float, int | None]], rate: int
) -> None:
    """An event is a pause in seconds, then samples sent, None, or a report as a negative number."""
    clock, now, sent, before, reported = PlaybackClock(rate), 1000.0, 0, 0, False
    for pause_s, samples in events:
        now += pause_s
        if samples is not None and samples >= 0:
            clock.sent(samples, now)
            sent += samples
        elif samples is not None:
            clock.report(-samples)
            before = before if reported else 0
            reported = True
        assert before <= clock.played(now) <= sent
        assert clock.lead_s(now) == pytest.approx((sent - clock.played(now)) / rate)
        before = clock.played(now)


@given(st.floats(0, 1), st.integers(1, 500_000), st.floats(0, 5), rates)
def test_the_wait_lowers_the_lead_to_the_maximum(
    late_s: float, samples: int, max_lead_s: float, rate: int
) -> None:
    clock = PlaybackClock(rate)
    clock.sent(samples, now=1000.0)
    now = 1000.0 + late_s
    after = now + clock.wait_s(max_lead_s, now)
    assert clock.lead_s(after) <= max_lead_s + 2 / rate
