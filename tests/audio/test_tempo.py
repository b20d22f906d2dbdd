"""Tempo changes at the same pitch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from math import pi
from time import thread_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_server.audio.tempo import Tempo
from streaming_server.errors import BadValue
from streaming_server.types import SAMPLE_RATES

SPEEDS = (0.25, 0.3, 0.5, 0.8, 1.25, 2.0, 2.5, 4.0)


def tone(samples: int, rate: int, hertz: float = 200.0) -> bytes:
    return (np.sin(2 * pi * hertz * np.arange(samples) / rate) * 9000).astype("<i2").tobytes()


def retimed(tempo: Tempo, parts: Iterable[bytes]) -> bytes:
    return b"".join([*(tempo.push(part) for part in parts), tempo.finish()])


def power_by_hertz(pcm: bytes, rate: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """One value for each hertz."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4 * rate)) ** 2
    return np.add.reduceat(spectrum, np.arange(0, len(spectrum), 4))


@pytest.mark.parametrize("rate", SAMPLE_RATES)
@pytest.mark.parametrize("speed", SPEEDS)
def test_keeps_the_pitch(speed: float, rate: int) -> None:
    power = power_by_hertz(retimed(Tempo(rate, speed), [tone(rate, rate)]), rate)
    assert power.argmax() == pytest.approx(200, rel=0.01)
    assert power[190:211].sum() > 0.99 * power.sum()


@settings(max_examples=50, deadline=None)
@given(rate=st.sampled_from(SAMPLE_RATES), speed=st.floats(0.25, 4), length=st.integers(0, 20000))
def test_the_length_is_exact(rate: int, speed: float, length: int) -> None:
    out = retimed(Tempo(rate, speed), [tone(length, rate)])
    assert len(out) == 2 * round(length / speed)


@settings(max_examples=30, deadline=None)
@given(
    speed=st.sampled_from(SPEEDS),
    sizes=st.lists(st.one_of(st.integers(0, 5), st.integers(1, 9000)), max_size=12),
    length=st.integers(0, 20000),
)
def test_the_bytes_do_not_depend_on_the_pieces(speed: float, sizes: list[int], length: int) -> None:
    noisy = np.random.default_rng(0).normal(0, 2000, length) + np.frombuffer(tone(length, 24000), "<i2")
    pcm = noisy.astype("<i2").tobytes()
    cuts = [0, *np.minimum(np.cumsum(sizes, dtype=int), len(pcm)).tolist(), len(pcm)]
    parts = [pcm[start:end] for start, end in pairwise(cuts)]
    assert retimed(Tempo(24000, speed), parts) == retimed(Tempo(24000, speed), [pcm])


@pytest.mark.parametrize("speed", SPEEDS)
def test_sounds_keep_their_relative_positions(speed: float) -> None:
    """All six bursts, including those at both ends, stay near their scaled positions."""
    rate, said = 24000, np.zeros(2 * 24000)
    places_s = (0.0, 0.4, 0.8, 1.2, 1.6, 1.9)
    for place in places_s:
        start = int(place * rate)
        said[start : start + 2400] = np.random.default_rng(1).normal(0, 5000, 2400)
    out = retimed(Tempo(rate, speed), [said.astype("<i2").tobytes()])
    heard = np.frombuffer(out, "<i2").astype(float) ** 2
    slack_s = 0.03 / min(speed, 1)
    for place in places_s:
        first, last = place / speed - slack_s, (place + 0.1) / speed + slack_s
        window = heard[max(0, int(first * rate)) : int(last * rate)]
        expected = 5000**2 * 0.1 / speed * rate
        assert window.sum() == pytest.approx(expected, rel=0.5), place


def test_speed_one_changes_nothing() -> None:
    tempo = Tempo(24000, 1)
    assert [tempo.push(b"abc"), tempo.push(b"d"), tempo.finish()] == [b"abc", b"d", b""]
    code = (
        "import sys\n"
        "from streaming_server.audio.tempo import Tempo\n"
        "Tempo(24000, 1).push(bytes(10))\n"
        "assert 'av' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("speed", SPEEDS)
def test_holds_back_no_more_than_documented(speed: float) -> None:
    rate, tempo = 24000, Tempo(24000, speed)
    pcm = tone(rate, rate)
    given_samples, worst_ms = 0, 0.0
    for start in range(0, len(pcm), 48):
        given_samples += len(tempo.push(pcm[start : start + 48])) // 2
        worst_ms = max(worst_ms, (start // 2 + 24 - given_samples * speed) / rate * 1000)
    assert 0 < worst_ms <= (80 if speed <= 2 else 120)


def test_a_push_of_100_ms_is_fast() -> None:
    took = []
    for speed in (0.25, 4.0):
        tempo = Tempo(48000, speed)
        for _ in range(20):
            began = thread_time()
            tempo.push(tone(4800, 48000))
            took.append(thread_time() - began)
    assert sorted(took)[len(took) // 2] < 0.003


@pytest.mark.parametrize("speed", [0.0, -1.0, 0.2499, 4.001, float("nan"), float("inf")])
def test_refuses_other_speeds(speed: float) -> None:
    with pytest.raises(BadValue):
        Tempo(24000, speed)
