"""Frames from audio in any pieces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from math import pi

import numpy as np
import pytest
import soxr
from hypothesis import example, given
from hypothesis import strategies as st

from streaming_server.audio.frames import MAX_FRAME_MS, Frame, FrameEncoder
from streaming_server.types import ENCODINGS, SAMPLE_RATES, Encoding

WIDTHS: dict[Encoding, int] = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}

rates = st.sampled_from(SAMPLE_RATES)
encodings = st.sampled_from(ENCODINGS)
piece_sizes = st.lists(st.one_of(st.integers(1, 5), st.integers(1, 6000)), min_size=1, max_size=12)


def noise(samples: int, seed: int = 0) -> bytes:
    """Return noise loud enough for the resampler to exceed full scale."""
    drawn = np.random.default_rng(seed).normal(0, 16000, samples)
    return drawn.clip(-32768, 32767).astype("<i2").tobytes()


def tone(samples: int, rate: int, hertz: float = 440.0) -> bytes:
    return (np.sin(2 * pi * hertz * np.arange(samples) / rate) * 20000).astype("<i2").tobytes()


def pieces(pcm: bytes, sizes: list[int]) -> Iterable[bytes]:
    """Split PCM into pieces of these numbers of samples, and the rest."""
    start = 0
    for size in sizes:
        yield pcm[start : start + 2 * size]
        start += 2 * size
    yield pcm[start:]


def utterance(encoder: FrameEncoder, parts: Iterable[bytes]) -> list[Frame]:
    frames = [frame for part in parts for frame in encoder.push(part)]
    return frames + encoder.end_utterance()


def joined(frames: list[Frame]) -> bytes:
    return b"".join(frame.data for frame in frames)


def encoded(linear: list[int] | range, encoding: Encoding) -> bytes:
    return joined(FrameEncoder(8000, 8000, encoding).push(np.array(linear, dtype="<i2").tobytes()))


# Frames


@given(rates, rates, encodings, piece_sizes)
def test_frames_are_contiguous_and_within_the_limit(
    source_rate: int, sample_rate: int, encoding: Encoding, sizes: list[int]
) -> None:
    encoder = FrameEncoder(source_rate, sample_rate, encoding)
    position = 0
    for frame in utterance(encoder, pieces(noise(sum(sizes) + 100), sizes)):
        assert frame.first_sample == position
        assert 0 < frame.samples <= sample_rate * MAX_FRAME_MS // 1000
        assert len(frame.data) == frame.samples * WIDTHS[encoding]
        position += frame.samples
    assert encoder.position == position


@given(st.integers(1, 40_000), encodings)
def test_a_push_is_cut_into_few_even_frames(samples: int, encoding: Encoding) -> None:
    frames = FrameEncoder(22050, 22050, encoding).push(noise(samples))
    lengths = [frame.samples for frame in frames]
    assert len(frames) == -(-samples // 2205)
    assert max(lengths) - min(lengths) <= 1


@given(rates, piece_sizes)
def test_the_engine_format_passes_through(rate: int, sizes: list[int]) -> None:
    encoder = FrameEncoder(rate, rate, "pcm_s16le")
    for part in pieces(noise(sum(sizes)), sizes):
        assert joined(encoder.push(part)) == part
    assert encoder.end_utterance() == []


def test_no_audio_gives_no_frames() -> None:
    for sample_rate in (22050, 24000):
        encoder = FrameEncoder(22050, sample_rate, "pcm_s16le")
        assert encoder.push(b"") == []
        assert encoder.end_utterance() == []
        assert encoder.position == 0


def test_the_engine_format_needs_neither_numpy_nor_soxr() -> None:
    program = """
import sys
from streaming_server.audio.frames import FrameEncoder
FrameEncoder(22050, 22050, "pcm_s16le").push(bytes(44100))
assert not {"numpy", "soxr"} & sys.modules.keys()
FrameEncoder(22050, 22050, "mulaw")
assert {"numpy", "soxr"} & sys.modules.keys() == {"numpy"}
FrameEncoder(22050, 24000, "mulaw")
assert "soxr" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# Resampling


@given(rates, rates, encodings, piece_sizes, st.integers(0, 9))
def test_bytes_do_not_depend_on_the_pieces(
    source_rate: int, sample_rate: int, encoding: Encoding, sizes: list[int], seed: int
) -> None:
    pcm = noise(sum(sizes) + 3000, seed)
    at_once = utterance(FrameEncoder(source_rate, sample_rate, encoding), [pcm])
    in_pieces = utterance(FrameEncoder(source_rate, sample_rate, encoding), pieces(pcm, sizes))
    assert joined(in_pieces) == joined(at_once)


@pytest.mark.parametrize("sample_rate", [rate for rate in SAMPLE_RATES if rate != 22050])
def test_resampling_in_pieces_equals_resampling_the_whole(sample_rate: int) -> None:
    pcm = noise(6000)
    whole = soxr.resample(np.frombuffer(pcm, "<i2").astype(np.float32), 22050, sample_rate, "HQ")
    frames = utterance(FrameEncoder(22050, sample_rate, "pcm_s16le"), pieces(pcm, [1] * 6000))
    assert joined(frames) == np.rint(whole).clip(-32768, 32767).astype("<i2").tobytes()


def test_a_tone_has_no_seams() -> None:
    frames = utterance(FrameEncoder(22050, 24000, "pcm_s16le"), pieces(tone(22050, 22050), [441] * 49))
    heard = np.frombuffer(joined(frames), "<i2").astype(int)
    expected = np.frombuffer(tone(24000, 24000), "<i2").astype(int)
    assert np.abs(heard - expected)[1000:-1000].max() <= 2


def test_overshoot_is_clipped() -> None:
    square = np.repeat(np.tile(np.array([32767, -32768], "<i2"), 40), 100)
    frames = utterance(FrameEncoder(8000, 48000, "pcm_s16le"), [square.tobytes()])
    heard = np.frombuffer(joined(frames), "<i2")
    middle_of_halves = heard.reshape(-1, 600)[:, 200:400]
    assert (middle_of_halves[::2] > 30000).all()
    assert (middle_of_halves[1::2] < -30000).all()
    assert (heard.max(), heard.min()) == (32767, -32768)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 24000, 48000])
def test_the_resampler_holds_back_less_than_a_frame(sample_rate: int) -> None:
    encoder = FrameEncoder(22050, sample_rate, "pcm_s16le")
    for i, part in enumerate(pieces(noise(22050), [50] * 441)):
        encoder.push(part)
        pushed_s, out_s = min(22050, 50 * (i + 1)) / 22050, encoder.position / sample_rate
        assert pushed_s - out_s < MAX_FRAME_MS / 1000


# Utterances


@given(rates, rates, st.lists(st.integers(0, 5000), min_size=1, max_size=4))
@example(48000, 44100, [2800])  # soxr rounds this half down.
def test_an_utterance_ends_where_the_next_begins(
    source_rate: int, sample_rate: int, lengths: list[int]
) -> None:
    encoder = FrameEncoder(source_rate, sample_rate, "pcm_s16le")
    for length in lengths:
        start = encoder.position
        assert encoder.at(0) == start
        encoder.push(noise(length))
        end = encoder.at(length)
        assert abs(end - start - length * sample_rate / source_rate) <= 0.5
        encoder.end_utterance()
        assert encoder.position == end


def test_utterances_are_independent() -> None:
    encoder = FrameEncoder(22050, 16000, "pcm_s16le")
    utterance(encoder, [noise(5000, seed=1)])
    second = utterance(encoder, [noise(5000, seed=2)])
    alone = utterance(FrameEncoder(22050, 16000, "pcm_s16le"), [noise(5000, seed=2)])
    assert joined(second) == joined(alone)


# Encodings


def test_floats_are_samples_divided_by_32768() -> None:
    heard = np.frombuffer(encoded([-32768, -1, 0, 1, 16384, 32767], "pcm_f32le"), "<f4")
    assert heard.tolist() == [-1.0, -1 / 32768, 0.0, 1 / 32768, 0.5, 32767 / 32768]
