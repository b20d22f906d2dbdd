"""What a listener gets, whatever pieces the engine's audio comes in."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
import wave
from collections.abc import Iterable
from math import inf, pi
from types import ModuleType

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.audio.frames import MAX_FRAME_MS, Frame, FrameEncoder, PlaybackClock, wav_header
from streaming_server.types import ENCODINGS, SAMPLE_RATES, Encoding

WIDTHS: dict[Encoding, int] = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}

rates = st.sampled_from(SAMPLE_RATES)
encodings = st.sampled_from(ENCODINGS)
piece_sizes = st.lists(st.one_of(st.integers(1, 5), st.integers(1, 6000)), min_size=1, max_size=12)


def noise(samples: int, seed: int = 0) -> bytes:
    """Loud enough that the resampler overshoots full scale."""
    drawn = np.random.default_rng(seed).normal(0, 16000, samples)
    return drawn.clip(-32768, 32767).astype("<i2").tobytes()


def tone(samples: int, rate: int, hertz: float = 440.0) -> bytes:
    return (np.sin(2 * pi * hertz * np.arange(samples) / rate) * 20000).astype("<i2").tobytes()


def pieces(pcm: bytes, sizes: list[int]) -> Iterable[bytes]:
    """The PCM cut into pieces of these many samples, the last of them taking the rest."""
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
def test_frames_are_contiguous_and_none_is_longer_than_the_limit(
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
def test_a_push_is_cut_evenly_into_as_few_frames_as_may_be(samples: int, encoding: Encoding) -> None:
    frames = FrameEncoder(22050, 22050, encoding).push(noise(samples))
    lengths = [frame.samples for frame in frames]
    assert len(frames) == -(-samples // 2205)
    assert max(lengths) - min(lengths) <= 1


@given(rates, piece_sizes)
def test_the_engines_own_format_passes_unchanged_and_at_once(rate: int, sizes: list[int]) -> None:
    encoder = FrameEncoder(rate, rate, "pcm_s16le")
    for part in pieces(noise(sum(sizes)), sizes):
        assert joined(encoder.push(part)) == part
    assert encoder.end_utterance() == []


def test_nothing_in_gives_nothing_out() -> None:
    for sample_rate in (22050, 24000):
        encoder = FrameEncoder(22050, sample_rate, "pcm_s16le")
        assert encoder.push(b"") == []
        assert encoder.end_utterance() == []
        assert encoder.position == 0


def test_the_engines_own_format_needs_neither_numpy_nor_soxr() -> None:
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
def test_bytes_do_not_depend_on_how_the_audio_was_cut(
    source_rate: int, sample_rate: int, encoding: Encoding, sizes: list[int], seed: int
) -> None:
    pcm = noise(sum(sizes) + 3000, seed)
    at_once = utterance(FrameEncoder(source_rate, sample_rate, encoding), [pcm])
    in_pieces = utterance(FrameEncoder(source_rate, sample_rate, encoding), pieces(pcm, sizes))
    assert joined(in_pieces) == joined(at_once)


@pytest.mark.parametrize("sample_rate", [rate for rate in SAMPLE_RATES if rate != 22050])
def test_sample_by_sample_is_what_soxr_makes_of_the_whole(sample_rate: int) -> None:
    pcm = noise(6000)
    whole = soxr.resample(np.frombuffer(pcm, "<i2").astype(np.float32), 22050, sample_rate, "HQ")
    frames = utterance(FrameEncoder(22050, sample_rate, "pcm_s16le"), pieces(pcm, [1] * 6000))
    assert joined(frames) == np.rint(whole).clip(-32768, 32767).astype("<i2").tobytes()


def test_a_tone_has_no_seam_where_its_pieces_meet() -> None:
    frames = utterance(FrameEncoder(22050, 24000, "pcm_s16le"), pieces(tone(22050, 22050), [441] * 49))
    heard = np.frombuffer(joined(frames), "<i2").astype(int)
    expected = np.frombuffer(tone(24000, 24000), "<i2").astype(int)
    assert np.abs(heard - expected)[1000:-1000].max() <= 2


def test_what_overshoots_full_scale_is_clipped_and_does_not_wrap() -> None:
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
def test_an_utterance_ends_where_its_last_sample_is_heard(
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


def test_an_utterance_carries_nothing_over_into_the_next() -> None:
    encoder = FrameEncoder(22050, 16000, "pcm_s16le")
    utterance(encoder, [noise(5000, seed=1)])
    second = utterance(encoder, [noise(5000, seed=2)])
    alone = utterance(FrameEncoder(22050, 16000, "pcm_s16le"), [noise(5000, seed=2)])
    assert joined(second) == joined(alone)


# Encodings


def test_float_is_the_sample_over_32768() -> None:
    heard = np.frombuffer(encoded([-32768, -1, 0, 1, 16384, 32767], "pcm_f32le"), "<f4")
    assert heard.tolist() == [-1.0, -1 / 32768, 0.0, 1 / 32768, 0.5, 32767 / 32768]


def test_mulaw_has_the_characters_of_g711() -> None:
    """Decision values of G.711 table 2, which are in 14 bits, as 16-bit samples: each begins an interval."""
    decisions = [0, 1, 3, 31, 35, 95, 103, 223, 239, 479, 511, 991, 1055, 2015, 2143, 4063, 4319, 7903]
    characters = [0xFF, 0xFE, 0xFD, 0xEF, 0xEE, 0xDF, 0xDE, 0xCF, 0xCE, 0xBF, 0xBE]
    characters += [0xAF, 0xAE, 0x9F, 0x9E, 0x8F, 0x8E, 0x80]
    assert list(encoded([4 * value for value in decisions], "mulaw")) == characters
    negative = [c - 0x80 for c in characters]
    assert list(encoded([-4 * value for value in decisions[1:]], "mulaw")) == negative[1:]
    assert list(encoded([32767, -32768], "mulaw")) == [0x80, 0x00]


def test_alaw_has_the_characters_of_g711() -> None:
    """Decision values of G.711 table 1, which are in 13 bits, as 16-bit samples: each begins an interval."""
    decisions = [0, 2, 4, 32, 64, 68, 128, 136, 256, 272, 512, 544, 1024, 1088, 2048, 2176, 3968]
    plain = [0x80, 0x81, 0x82, 0x90, 0xA0, 0xA1, 0xB0, 0xB1, 0xC0, 0xC1, 0xD0, 0xD1]
    plain += [0xE0, 0xE1, 0xF0, 0xF1, 0xFF]
    assert list(encoded([8 * value for value in decisions], "alaw")) == [c ^ 0x55 for c in plain]
    assert list(encoded([~(8 * value) for value in decisions], "alaw")) == [c ^ 0xD5 for c in plain]
    assert list(encoded([32767, -32768], "alaw")) == [0xAA, 0x2A]


@pytest.fixture
def audioop() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module: ModuleType = pytest.importorskip("audioop", reason="gone from Python 3.13 on")
    return module


def test_every_sample_is_encoded_as_audioop_encodes_it(audioop: ModuleType) -> None:
    every = range(-32768, 32768)
    pcm = np.array(every, dtype="<i2").tobytes()
    assert encoded(every, "mulaw") == audioop.lin2ulaw(pcm, 2)
    assert encoded(every, "alaw") == audioop.lin2alaw(pcm, 2)


# The listener's clock


def test_a_burst_is_played_in_real_time() -> None:
    clock = PlaybackClock(1000)
    assert (clock.played(now=7.0), clock.lead_s(now=7.0)) == (0, 0.0)
    for _ in range(5):
        clock.sent(1000, now=10.0)
    assert clock.lead_s(now=10.0) == 5.0
    assert clock.played(now=12.5) == 2500
    assert clock.lead_s(now=12.5) == 2.5
    assert clock.wait_s(2.0, now=12.5) == 0.5
    assert clock.wait_s(2.0, now=13.0) == 0.0


def test_playback_stops_when_it_runs_dry_and_goes_on_with_the_next_audio() -> None:
    clock = PlaybackClock(1000)
    clock.sent(1000, now=10.0)
    assert clock.played(now=20.0) == 1000
    assert clock.lead_s(now=20.0) == 0.0
    clock.sent(1000, now=20.0)
    assert clock.played(now=20.0) == 1000
    assert clock.played(now=20.25) == 1250
    assert clock.played(now=30.0) == 2000


def test_audio_in_time_keeps_playback_going() -> None:
    clock = PlaybackClock(1000)
    clock.sent(1000, now=10.0)
    clock.sent(1000, now=10.75)
    assert clock.played(now=11.5) == 1500


def test_the_listeners_reports_replace_the_estimate() -> None:
    clock = PlaybackClock(1000)
    clock.sent(5000, now=10.0)
    assert clock.reported is None
    clock.report(1800)
    assert clock.reported == 1800
    assert clock.played(now=12.0) == 1800
    assert clock.played(now=60.0) == 1800
    assert clock.lead_s(now=60.0) == 3.2


def test_only_a_report_lowers_the_lead_of_a_listener_who_reports() -> None:
    clock = PlaybackClock(1000)
    clock.sent(5000, now=10.0)
    clock.report(1000)
    assert clock.wait_s(3.0, now=30.0) == inf
    clock.report(2000)
    assert clock.wait_s(3.0, now=30.0) == 0.0


def test_reports_never_go_back_nor_past_what_was_sent() -> None:
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
def test_the_position_never_goes_back_nor_past_what_was_sent(
    events: list[tuple[float, int | None]], rate: int
) -> None:
    """Each event comes so many seconds after the last: audio sent, or a look, or a report (as a negative)."""
    clock, now, sent, before = PlaybackClock(rate), 1000.0, 0, 0
    for pause_s, samples in events:
        now += pause_s
        if samples is not None and samples >= 0:
            clock.sent(samples, now)
            sent += samples
        elif samples is not None:
            first = clock.reported is None
            clock.report(-samples)
            before = 0 if first else before
        assert before <= clock.played(now) <= sent
        assert clock.lead_s(now) == pytest.approx((sent - clock.played(now)) / rate)
        before = clock.played(now)


@given(st.floats(0, 1), st.integers(1, 500_000), st.floats(0, 5), rates)
def test_after_the_wait_the_lead_is_what_was_allowed(
    late_s: float, samples: int, max_lead_s: float, rate: int
) -> None:
    clock = PlaybackClock(rate)
    clock.sent(samples, now=1000.0)
    now = 1000.0 + late_s
    after = now + clock.wait_s(max_lead_s, now)
    assert clock.lead_s(after) <= max_lead_s + 2 / rate


# WAV


def test_a_wav_file_of_known_length_is_read_back() -> None:
    pcm = noise(1000)
    with wave.open(io.BytesIO(wav_header(22050, 1000) + pcm)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (22050, 1, 2)
        assert reader.getnframes() == 1000
        assert reader.readframes(1000) == pcm


def test_a_wav_header_is_byte_for_byte_what_python_writes() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 24000, 0, "NONE", "not compressed"))
        writer.writeframes(noise(500))
    assert wav_header(24000, 500) == file.getvalue()[:44]


def test_a_wav_stream_of_unknown_length_is_read_to_its_end() -> None:
    pcm = noise(1000)
    stream = wav_header(24000, None) + pcm
    with wave.open(io.BytesIO(stream)) as reader:
        assert reader.readframes(10**6) == pcm
    heard, rate = soundfile.read(io.BytesIO(stream), dtype="int16")
    assert rate == 24000
    assert heard.tobytes() == pcm


def test_more_than_a_wav_file_can_hold_is_a_stream_of_unknown_length() -> None:
    assert wav_header(48000, 2**31 - 18) == wav_header(48000, None)
    assert wav_header(48000, 2**31 - 19) != wav_header(48000, None)
