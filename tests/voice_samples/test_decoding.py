"""Decoding of recordings: every format, every limit, and hostile files."""

from __future__ import annotations

import io
import struct
import tempfile
import wave
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.recordings import FORMATS, PITCH, Floats, amr_wb, encoded, ffmpeg, pitch_of, sndfile, speech, wav
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streaming_server.audio.body import open_body
from streaming_server.audio.wav import wav_header
from streaming_server.errors import BadAudio, BadValue, SpeechError, StorageFailure, TooLarge
from streaming_server.voice_samples.decoder_child import read_voice_sample
from streaming_server.voice_samples.voice_sample import DecodedVoiceSample, VoiceSampleLimits

LIMITS = VoiceSampleLimits()
WIDE_BAND = tuple(form for form in FORMATS if form != "amr")
CUT_OFF = ("The recording seems to be cut off. If there is more of it, send the whole file.",)


def flac_claiming(file: bytes, frames: int) -> bytes:
    """Return the FLAC file with another number of samples in its STREAMINFO (36 bits)."""
    field = int.from_bytes(file[18:26], "big") >> 36 << 36 | frames
    return file[:18] + field.to_bytes(8, "big") + file[26:]


def take(data: bytes, limits: VoiceSampleLimits = LIMITS) -> tuple[DecodedVoiceSample, Floats]:
    """Decode a file; return the voice sample and its audio, -1 to 1."""
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "source"), Path(directory, "target")
        source.write_bytes(data)
        sample = read_voice_sample(source, target, limits)
        with wave.open(str(target)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44_100)
            assert file.getnframes() == sample.frames
            pcm = np.frombuffer(file.readframes(sample.frames), "<i2")
        assert target.stat().st_size == 44 + 2 * sample.frames
    return sample, pcm.astype(np.float32) / 32767


@cache
def second(form: str) -> bytes:
    """Return one second of speech."""
    rate = 8_000 if form == "amr" else 48_000
    return encoded(form, speech(1.0, rate), rate)


def check_answered(data: bytes) -> None:
    """Assert that reading gives a valid voice sample or a refusal for the user."""
    try:
        sample, audio = take(data)
    except (BadAudio, BadValue, TooLarge) as refusal:
        assert refusal.message.endswith(".")  # noqa: PT017
        return
    assert 0.5 <= sample.duration_s <= 60.0
    assert np.isfinite(sample.peak)
    assert np.abs(audio).max() == pytest.approx(0.95, abs=1e-4)
    assert len(sample.waveform) == 400


# Formats


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("form", WIDE_BAND)
def test_every_format_is_decoded_to_mono_pcm(form: str, channels: int) -> None:
    sample, audio = take(encoded(form, speech(6.0, 48_000, channels)))

    assert (sample.original_format, sample.original_sample_rate) == (form, 48_000)
    assert (sample.channels, sample.sample_rate) == (channels, 44_100)
    assert sample.duration_s == sample.frames / 44_100 == pytest.approx(6.0, abs=0.06)
    assert pitch_of(audio) == pytest.approx(PITCH, abs=1.0)
    assert np.abs(audio).max() == pytest.approx(0.95, abs=1e-4)
    assert 0.25 < sample.peak < 0.5
    assert sample.warnings == (() if channels == 1 else (sample.warnings[0],))


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"]
)
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_decodes_every_pcm_codec_in_wav(form: str, subtype: str) -> None:
    sample, audio = take(sndfile(speech(6.0), 44_100, form, subtype))
    assert sample.frames == 6 * 44_100
    assert np.abs(audio / 0.95 - speech(6.0)[:, 0] / sample.peak).max() < 0.05


def test_decodes_amr() -> None:
    sample, audio = take(encoded("amr", speech(6.0, 8_000), 8_000))
    assert (sample.original_format, sample.original_sample_rate, sample.channels) == ("amr", 8_000, 1)
    assert sample.duration_s == pytest.approx(6.0, abs=0.06)
    assert pitch_of(audio) == pytest.approx(PITCH, abs=2.0)
    assert sample.warnings == ()


def test_decodes_wide_band_amr() -> None:
    sample, _ = take(amr_wb(300))
    assert (sample.original_format, sample.original_sample_rate) == ("amr", 16_000)
    assert sample.duration_s == pytest.approx(6.0, abs=0.06)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_decodes_rf64_as_wav(subtype: str) -> None:
    sample, _ = take(sndfile(speech(6.0), 44_100, "RF64", subtype))
    assert (sample.original_format, sample.frames, sample.warnings) == ("wav", 264_600, ())


@settings(max_examples=25, deadline=None)
@given(rate=st.integers(8_000, 192_000))
@example(rate=8_000)
@example(rate=44_100)
@example(rate=192_000)
def test_resampling_keeps_pitch_and_length(rate: int) -> None:
    sample, audio = take(sndfile(speech(5.0, rate), rate, "WAV"))
    assert sample.original_sample_rate == rate
    assert sample.frames == pytest.approx(5.0 * 44_100, abs=10)
    assert pitch_of(audio) == pytest.approx(PITCH, abs=1.0)


def test_44100_hz_is_not_resampled() -> None:
    sent = speech(6.0)
    _, audio = take(sndfile(sent, 44_100, "WAV", "FLOAT"))
    np.testing.assert_allclose(audio, sent[:, 0] * (0.95 / np.abs(sent).max()), atol=1 / 32767)


def test_reads_a_streamed_flac_to_its_end() -> None:
    """This server writes FLAC without a length."""
    pcm = (speech(6.0)[:, 0] * 32767).astype("<i2").tobytes()
    body = open_body("flac", 44_100)
    data = body.push(pcm) + body.finish()
    sample, _ = take(data)
    assert (sample.original_format, sample.frames) == ("flac", 6 * 44_100)


def test_reads_a_browser_recording_without_length() -> None:
    data = ffmpeg(speech(6.0, 48_000), 48_000, "webm", "libopus", live="1")
    sample, _ = take(data)
    assert sample.duration_s == pytest.approx(6.0, abs=0.05)
    assert sample.warnings == ()


def test_ignores_video() -> None:
    """A video file may be sent for its audio."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        video = container.add_stream("mpeg4", rate=10)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("aac", rate=48_000, layout="mono")
        assert isinstance(audio, av.AudioStream)
        for at in range(60):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), at, np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        frame = av.AudioFrame.from_ndarray(speech(6.0, 48_000).T.copy(), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux(audio.encode(frame))
        container.mux([*video.encode(None), *audio.encode(None)])
    sample, _ = take(out.getvalue())
    assert (sample.original_format, sample.duration_s) == ("m4a", pytest.approx(6.0, abs=0.06))


def test_ignores_tags_before_an_mp3() -> None:
    picture = bytes(range(256)) * 1000
    size = bytes(len(picture) >> shift & 0x7F for shift in (21, 14, 7, 0))
    sample, _ = take(b"ID3\x04\x00\x00" + size + picture + encoded("mp3", speech(6.0, 48_000)))
    assert sample.original_format == "mp3"


def test_ignores_other_chunks_of_a_wav() -> None:
    data = wav(before=b"LIST" + struct.pack("<I", 5) + b"hello\0")
    assert take(data)[0].frames == 51_200


UNKNOWN = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("whole", "sound"),
    [(UNKNOWN, UNKNOWN), (0, UNKNOWN), (0, 0), (36, 0), (UNKNOWN, 0)],
    ids=["as /generate sends it", "unknown sound", "nothing", "never finished", "unknown whole"],
)
@pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAVEX", "FLOAT")])
def test_reads_a_streamed_wav_to_its_end(whole: int, sound: int, form: str, subtype: str) -> None:
    told = sndfile(speech(6.0, 24_000, 2), 24_000, form, subtype)
    untold = bytearray(told)
    struct.pack_into("<I", untold, 4, whole)
    struct.pack_into("<I", untold, told.index(b"data") + 4, sound)
    sample, audio = take(bytes(untold))
    expected, same = take(told)
    assert sample == expected
    assert np.array_equal(audio, same)


def test_reads_a_wav_streamed_by_this_server() -> None:
    pcm = np.rint(speech(6.0, 22_050)[:, 0] * 32767).astype("<i2").tobytes()
    sample, _ = take(wav_header(22_050) + pcm)
    assert (sample.duration_s, sample.warnings) == (6.0, ())


def test_drops_half_a_pcm_sample_at_the_end_of_a_streamed_wav() -> None:
    streamed = wav_header(22_050) + bytes(range(256)) * 400
    sample, _ = take(streamed[:-1])
    assert sample.duration_s == pytest.approx(51_199 / 22_050, abs=1e-3)
    assert "holds no sound" in refused(streamed[:44]).message
    assert "longer than 60 s" in refused(streamed * 60).message


def test_a_chunk_after_empty_audio_is_not_audio() -> None:
    silent = bytearray(wav_header(22_050, 0) + b"LIST\x04\0\0\0INFO")
    struct.pack_into("<I", silent, 4, len(silent) - 8)
    assert "holds no sound" in refused(bytes(silent)).message


@pytest.mark.parametrize("form", WIDE_BAND)
def test_padding_of_codecs_does_not_exceed_the_longest_duration(form: str) -> None:
    """Codecs fill up their last frame."""
    sample, _ = take(encoded(form, speech(60.0, 48_000)))
    assert 59.9 < sample.duration_s <= 60.0


def test_waveform_follows_the_level() -> None:
    loud_then_quiet = np.concatenate([speech(3.0), speech(3.0) * 0.1])
    sample, _ = take(sndfile(loud_then_quiet, 44_100, "WAV"))
    lows, highs = np.array(sample.waveform).reshape(200, 2).T

    assert (lows <= 50).all()
    assert (highs >= 50).all()
    assert min(lows.min(), 100 - highs.max()) == 0
    assert (highs - lows)[5:95].min() > 30
    assert 0 < (highs - lows)[105:].max() < 12


# Warnings


@pytest.mark.parametrize(
    ("seconds", "warned"), [(0.5, True), (4.9, True), (5.0, False), (10.0, False), (10.1, True), (60.0, True)]
)
def test_warns_about_durations_that_clone_badly(seconds: float, warned: bool) -> None:
    sample, _ = take(sndfile(speech(seconds, 16_000), 16_000, "WAV"))
    assert [warning for warning in sample.warnings if "5 to 10 s" in warning] == list(sample.warnings)
    assert bool(sample.warnings) is warned


def test_mixes_stereo_down_and_warns() -> None:
    sent = speech(6.0, channels=2)
    sample, audio = take(sndfile(sent, 44_100, "WAV", "FLOAT"))
    mixed = sent.mean(axis=1)
    np.testing.assert_allclose(audio, mixed * (0.95 / np.abs(mixed).max()), atol=1e-4)
    assert sample.warnings == ("The recording was stereo and was mixed down to mono.",)


def test_amplifies_a_quiet_recording_and_warns() -> None:
    sample, audio = take(sndfile(speech(6.0, level=0.02), 44_100, "WAV", "PCM_24"))
    assert np.abs(audio).max() == pytest.approx(0.95, abs=1e-4)
    assert [warning for warning in sample.warnings if "very quiet" in warning] == list(sample.warnings) != []


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "ogg", "opus", "webm"])
def test_warns_about_clipping(form: str) -> None:
    clipped = np.clip(speech(6.0, 48_000, level=1.2), -1, 1)
    sample, _ = take(encoded(form, clipped))
    assert [warning for warning in sample.warnings if "clipped" in warning] == list(sample.warnings) != []


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_full_scale_is_not_clipping(form: str) -> None:
    sent = speech(6.0, 48_000) + np.float32(0)
    sent *= 0.999 / np.abs(sent).max()
    assert take(encoded(form, sent))[0].warnings == ()


def test_floats_beyond_full_scale_are_not_clipping() -> None:
    """Float formats have no full scale at which to clip."""
    sample, audio = take(sndfile(speech(6.0, level=20_000.0), 44_100, "WAV", "FLOAT"))
    assert sample.warnings == ()
    assert sample.peak > 15_000
    assert np.abs(audio).max() == pytest.approx(0.95, abs=1e-4)


@pytest.mark.parametrize("form", ["mp3", "ogg", "opus"])
def test_reads_a_truncated_stream_and_warns(form: str) -> None:
    data = encoded(form, speech(12.0, 48_000))
    sample, _ = take(data[: len(data) * 6 // 10])
    assert [warning for warning in sample.warnings if "cut off" in warning] == list(sample.warnings) != []


# Refusals


def refused(data: bytes, limits: VoiceSampleLimits = LIMITS) -> SpeechError:
    with pytest.raises(SpeechError) as caught:
        take(data, limits)
    return caught.value


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        pytest.param(wav(rate=2**31 - 1), BadValue, "2147483647 Hz", id="2^31-1 Hz"),
        pytest.param(wav(rate=1), BadValue, "1 Hz", id="1 Hz"),
        pytest.param(wav(rate=0), BadAudio, "damaged", id="0 Hz"),
        pytest.param(wav(rate=7_999), BadValue, "7999 Hz", id="7999 Hz"),
        pytest.param(wav(rate=192_001), BadValue, "192001 Hz", id="192001 Hz"),
        pytest.param(wav(channels=0), BadValue, "0 channels", id="no channels"),
        pytest.param(wav(channels=3), BadValue, "3 channels", id="three channels"),
        pytest.param(wav(channels=65_535), BadValue, "at most 2", id="65535 channels"),
        pytest.param(wav(b""), BadValue, "holds no sound", id="no samples"),
        pytest.param(wav(bits=0), BadAudio, "codec", id="0 bits"),
        pytest.param(wav(bits=65_535), BadAudio, "codec", id="65535 bits"),
        pytest.param(wav(coding=0x55), BadAudio, "damaged", id="noise as mp3 in wav"),
        pytest.param(wav(coding=0x31), BadAudio, "codec", id="gsm in wav"),
        pytest.param(wav()[:12], BadAudio, "damaged", id="nothing after the magic"),
        pytest.param(wav()[:30], BadAudio, "damaged", id="half a header"),
        pytest.param(wav(before=b"JUNK\xff\xff\xff\xff"), BadAudio, "damaged", id="endless chunk"),
        pytest.param(
            b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcdabcd", BadAudio, "damaged", id="data without format"
        ),
        pytest.param(b"", BadAudio, "holds no sound", id="no bytes"),
        pytest.param(b"\0" * 5000, BadAudio, "not a recording", id="zeros"),
        pytest.param(b"<!doctype html><p>hello", BadAudio, "not a recording", id="a page"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), BadAudio, "not a recording", id="a picture"),
        pytest.param(b"PK\x03\x04" + bytes(100), BadAudio, "not a recording", id="an archive"),
        pytest.param(
            b"OggS" + bytes(24) + b"\x80theora" + bytes(99), BadAudio, "not a recording", id="a video in ogg"
        ),
        pytest.param(
            b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(9), BadAudio, "not a recording", id="nothing after a tag"
        ),
        pytest.param(b"fLaC" + bytes(100), BadAudio, "damaged", id="a flac of nothing"),
        pytest.param(b"\0\0\0\x10ftypM4A " + bytes(100), BadAudio, "damaged", id="an m4a of nothing"),
        pytest.param(b"\x1a\x45\xdf\xa3" + bytes(100), BadAudio, "damaged", id="a webm of nothing"),
    ],
)
def test_refuses_unusable_headers(data: bytes, error: type[SpeechError], words: str) -> None:
    caught = refused(data)
    assert type(caught) is error
    assert words in caught.message
    assert caught.message.endswith(".")


@pytest.mark.parametrize("form", WIDE_BAND)
def test_refuses_more_than_a_minute(form: str) -> None:
    caught = refused(encoded(form, speech(61.0, 16_000), 16_000))
    assert type(caught) is TooLarge
    assert "longer than 60 s" in caught.message


@pytest.mark.parametrize("form", WIDE_BAND)
def test_refuses_less_than_half_a_second(form: str) -> None:
    caught = refused(encoded(form, speech(0.4, 48_000)))
    assert type(caught) is BadValue
    assert "at least 0.5 s" in caught.message


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(300_000), "silent"),
        (np.full(300_000, 0.5), "silent"),
        (np.random.default_rng(0).normal(0, 1e-4, 300_000), "silent"),
        (np.sign(speech(6.0)[:, 0]), "clipped throughout"),
        (np.clip(speech(6.0)[:, 0] * 100, -1, 1), "clipped throughout"),
        (np.stack([speech(6.0)[:, 0], -speech(6.0)[:, 0]], axis=1), "cancel each other out"),
    ],
    ids=["zeros", "constant", "below any microphone", "square", "far too loud", "opposite channels"],
)
def test_refuses_audio_that_cannot_be_speech(samples: Floats, words: str) -> None:
    samples = samples.reshape(len(samples), -1)
    caught = refused(sndfile(samples, 44_100, "WAV"))
    assert type(caught) is BadValue
    assert words in caught.message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("place", [0, 100_000, 264_599])
def test_refuses_values_that_are_not_finite(value: float, place: int) -> None:
    samples = speech(6.0).astype(np.float64)
    samples[place] = value
    caught = refused(sndfile(samples, 44_100, "WAV", "DOUBLE"))
    assert type(caught) is BadAudio
    assert "not numbers" in caught.message


def test_survives_the_largest_floats() -> None:
    """Each is finite, but their sums are not."""
    samples = speech(6.0, 48_000, level=0.8) * np.float32(3e38)
    check_answered(sndfile(samples, 48_000, "WAV", "FLOAT"))


@settings(max_examples=40, deadline=None)
@given(cut=st.floats(0.0, 1.0, exclude_max=True))
def test_refuses_every_beginning_of_a_flac(cut: float) -> None:
    data = second("flac")
    assert isinstance(refused(data[: int(cut * len(data))]), BadAudio)


def test_refuses_a_flac_that_ends_between_two_frames_as_cut_off() -> None:
    data = second("flac")
    starts = [at for at in range(40, len(data)) if data[at : at + 2] == b"\xff\xf8"]
    assert len(starts) > 10
    for start in starts[:3]:
        assert isinstance(refused(data[:start]), BadAudio)


@pytest.mark.parametrize("form", ["wav", "w64", "aiff", "caf"])
@settings(max_examples=20, deadline=None)
@given(cut=st.floats(0.0, 1.0, exclude_max=True))
def test_every_beginning_of_a_chunked_file_is_refused_or_warned_about(form: str, cut: float) -> None:
    whole = second(form)
    data = whole[: int(cut * len(whole))]
    try:
        sample, _ = take(data)
    except (BadAudio, BadValue):
        return
    assert sample.duration_s <= len(data) / 96_000
    assert set(CUT_OFF) <= set(sample.warnings) or len(data) == len(whole) - 1


def test_refuses_half_an_m4a() -> None:
    data = encoded("m4a", speech(12.0, 48_000))
    assert type(refused(data[: len(data) // 2])) is BadAudio
    without_index_first = ffmpeg(speech(12.0, 48_000), 48_000, "mp4", "aac")
    assert type(refused(without_index_first[: len(data) // 2])) is BadAudio


@pytest.mark.parametrize("claimed", [1, 44_100, 6 * 44_100, 2**36 - 1])
def test_survives_a_wrong_length_in_a_flac(claimed: int) -> None:
    """Seventy seconds with another length in the header."""
    check_answered(flac_claiming(sndfile(speech(70.0, 44_100), 44_100, "FLAC"), claimed))


def test_limits_a_flac_of_unknown_length() -> None:
    data = flac_claiming(sndfile(np.zeros((3600 * 8_000, 1), np.float32), 8_000, "FLAC"), 0)
    assert type(refused(data)) is TooLarge


def test_obeys_the_given_limits() -> None:
    data = encoded("wav", speech(6.0, 48_000, 2))
    assert type(refused(data, VoiceSampleLimits(longest_s=5.0))) is TooLarge
    assert type(refused(data, VoiceSampleLimits(shortest_s=7.0))) is BadValue
    assert type(refused(data, VoiceSampleLimits(highest_rate=44_100))) is BadValue
    assert type(refused(data, VoiceSampleLimits(most_channels=1))) is BadValue


def test_reports_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure, match="cannot be opened: No such file or directory"):
        read_voice_sample(tmp_path / "nothing", tmp_path / "target", LIMITS)


def test_reports_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(second("wav"))
    with pytest.raises(StorageFailure):
        read_voice_sample(source, tmp_path / "missing" / "target", LIMITS)


# Fuzzing


# A decoder's process for each example: minutes, on a busy machine.
FUZZ: Any = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.slow
@pytest.mark.timeout(240)
@FUZZ
@given(
    form=st.sampled_from(FORMATS),
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 7)), max_size=8),
)
def test_survives_flipped_bits(form: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(second(form))
    for place, bit in changes:
        data[place % len(data)] ^= 1 << bit
    check_answered(bytes(data))


@pytest.mark.slow
@pytest.mark.timeout(240)
@FUZZ
@given(form=st.sampled_from(FORMATS), place=st.integers(0, 200), put=st.binary(min_size=1, max_size=16))
def test_survives_overwritten_headers(form: str, place: int, put: bytes) -> None:
    data = second(form)
    check_answered(data[:place] + put + data[place + len(put) :])


@pytest.mark.slow
@pytest.mark.timeout(240)
@FUZZ
@given(form=st.sampled_from(FORMATS), start=st.floats(0, 1), end=st.floats(0, 1))
def test_survives_missing_pieces(form: str, start: float, end: float) -> None:
    data = second(form)
    check_answered(data[: int(start * len(data))] + data[int(end * len(data)) :])


MAGICS = (b"RIFF\0\0\0\0WAVEfmt ", b"fLaC\0\0\0\x22", b"OggS", b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80")
MORE_MAGICS = (
    b"\0\0\0\x20ftypM4A ",
    b"\x1a\x45\xdf\xa3",
    b"ID3\x04\0\0\0\0\0\0",
    b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12",
    b"caff\0\x01\0\0desc",
    b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0",
    b"#!AMR\n",
    b"#!AMR-WB\n",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    b"",
)


@pytest.mark.slow
@pytest.mark.timeout(240)
@FUZZ
@given(magic=st.sampled_from(MAGICS + MORE_MAGICS), rest=st.binary(max_size=4096))
def test_survives_noise_after_a_magic_number(magic: bytes, rest: bytes) -> None:
    check_answered(magic + rest)


def test_refuses_mpeg_layers_other_than_the_third() -> None:
    layer_ii = ffmpeg(speech(2.0, 48_000), 48_000, "mp2", "mp2")
    caught = refused(layer_ii)
    assert type(caught) is BadAudio
    assert "codec" in caught.message
