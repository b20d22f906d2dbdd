"""What is made of a recording, whatever its bytes are and whatever they claim."""

from __future__ import annotations

import io
import struct
import tempfile
import wave
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaming_server.audio.formats import ContainerWriter
from streaming_server.audio.frames import wav_header
from streaming_server.errors import BadAudio, BadValue, SpeechError, StorageFailure, TooLarge
from streaming_server.voice_samples.decoder_child import decode, sniff
from streaming_server.voice_samples.ingest import DecodedVoiceSample, VoiceSampleLimits

Floats = NDArray[np.float32]

LIMITS = VoiceSampleLimits()
PITCH = 440.0
KINDS = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aac", "webm")


def speech(seconds: float, rate: int = 44_100, channels: int = 1, level: float = 0.3) -> Floats:
    """Not speech, but as loud and lively: PITCH, swelling, in some noise. Shape (frames, channels)."""
    time = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * PITCH * time) * (0.7 + 0.3 * np.sin(2 * np.pi * 2 * time))
    noise = np.random.default_rng(0).normal(0.0, 0.01, (len(time), channels))
    return ((tone[:, None] + noise) * level).astype(np.float32)


def sndfile(samples: Floats, rate: int, format: str, subtype: str | None = None) -> bytes:  # noqa: A002
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", rate, samples.shape[1], format=format, subtype=subtype) as file:
        for start in range(0, len(samples), rate):  # Given much at once, its Vorbis encoder crashes.
            file.write(samples[start : start + rate])
    return out.getvalue()


def ffmpeg(samples: Floats, rate: int, muxer: str, codec: str, **options: str) -> bytes:
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with (
        tempfile.NamedTemporaryFile() as out,
        av.open(out.name, "w", format=muxer, options=options) as container,
    ):
        stream = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        pcm = np.ascontiguousarray((samples * 32767).astype("<i2").reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
        container.close()
        return out.read()


def encoded(kind: str, samples: Floats, rate: int = 48_000) -> bytes:
    match kind:
        case "wav" | "flac" | "mp3":
            return sndfile(samples, rate, kind.upper())
        case "ogg":
            return sndfile(samples, rate, "OGG", "VORBIS")
        case "opus":
            return sndfile(samples, rate, "OGG", "OPUS")
        case "m4a":
            return ffmpeg(samples, rate, "mp4", "aac", movflags="faststart")
        case "aac":
            return ffmpeg(samples, rate, "adts", "aac")
        case _:
            return ffmpeg(samples, rate, "webm", "libopus")


def wav(
    data: bytes = bytes(range(256)) * 400,
    *,
    claimed: int | None = None,
    rate: int = 44_100,
    channels: int = 1,
    bits: int = 16,
    coding: int = 1,
    before: bytes = b"",
) -> bytes:
    """A WAV file that says what one wants it to."""
    size = len(data) if claimed is None else claimed
    align = channels * bits // 8
    form = struct.pack(
        "<HHIIHH", coding, channels, rate, rate * align & 0xFFFFFFFF, align & 0xFFFF, bits & 0xFFFF
    )
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", len(body) + size & 0xFFFFFFFF) + body + data


def flac_claiming(file: bytes, frames: int) -> bytes:
    """STREAMINFO's 36 bits of total samples, changed."""
    field = int.from_bytes(file[18:26], "big") >> 36 << 36 | frames
    return file[:18] + field.to_bytes(8, "big") + file[26:]


def take(data: bytes, limits: VoiceSampleLimits = LIMITS) -> tuple[DecodedVoiceSample, Floats]:
    """What `decode` makes of these bytes, and what it wrote, -1 to 1."""
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "source"), Path(directory, "target")
        source.write_bytes(data)
        sample = decode(source, target, limits)
        with wave.open(str(target)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44_100)
            assert file.getnframes() == sample.frames
            pcm = np.frombuffer(file.readframes(sample.frames), "<i2")
        assert target.stat().st_size == 44 + 2 * sample.frames
    return sample, pcm.astype(np.float32) / 32767


def pitch_of(audio: Floats) -> float:
    """The strongest frequency of the middle, in Hz."""
    middle = audio[len(audio) // 4 : len(audio) * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(np.argmax(spectrum)) * 44_100 / len(middle)


@cache
def whole(kind: str) -> bytes:
    """A second."""
    return encoded(kind, speech(1.0, 48_000))


def check_answered(data: bytes) -> None:
    """With a sample that keeps its promises, or a sentence for whoever sent it."""
    try:
        sample, audio = take(data)
    except (BadAudio, BadValue, TooLarge) as refusal:
        assert refusal.message.endswith(".")  # noqa: PT017
        return
    assert 0.5 <= sample.duration_s <= 60.0
    assert np.isfinite(sample.peak)
    assert np.abs(audio).max() == pytest.approx(0.95, abs=1e-4)
    assert len(sample.waveform) == 400


# What is taken in


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_mono_pcm_of_the_same_sound(kind: str, channels: int) -> None:
    sample, audio = take(encoded(kind, speech(6.0, 48_000, channels)))

    assert (sample.original_format, sample.original_sample_rate) == (kind, 48_000)
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
def test_a_wav_may_be_coded_in_any_plain_way(form: str, subtype: str) -> None:
    sample, audio = take(sndfile(speech(6.0), 44_100, form, subtype))
    assert sample.frames == 6 * 44_100
    assert np.abs(audio / 0.95 - speech(6.0)[:, 0] / sample.peak).max() < 0.05


@settings(max_examples=25, deadline=None)
@given(rate=st.integers(8_000, 192_000))
@example(rate=8_000)
@example(rate=44_100)
@example(rate=192_000)
def test_the_pitch_and_the_length_outlast_any_sample_rate(rate: int) -> None:
    sample, audio = take(sndfile(speech(5.0, rate), rate, "WAV"))
    assert sample.original_sample_rate == rate
    assert sample.frames == pytest.approx(5.0 * 44_100, abs=10)
    assert pitch_of(audio) == pytest.approx(PITCH, abs=1.0)


def test_44100_hz_stays_sample_for_sample() -> None:
    sent = speech(6.0)
    _, audio = take(sndfile(sent, 44_100, "WAV", "FLOAT"))
    np.testing.assert_allclose(audio, sent[:, 0] * (0.95 / np.abs(sent).max()), atol=1 / 32767)


def test_a_stream_of_flac_that_does_not_say_how_long_it_is_is_read_to_its_end() -> None:
    """As this server writes it."""
    pcm = (speech(6.0)[:, 0] * 32767).astype("<i2").tobytes()
    with ContainerWriter("flac", 44_100) as writer:
        data = writer.head() + writer.push(pcm) + writer.finish()
    sample, _ = take(data)
    assert (sample.original_format, sample.frames) == ("flac", 6 * 44_100)


def test_a_browsers_recording_has_no_length_in_its_header() -> None:
    data = ffmpeg(speech(6.0, 48_000), 48_000, "webm", "libopus", live="1")
    sample, _ = take(data)
    assert sample.duration_s == pytest.approx(6.0, abs=0.05)
    assert sample.warnings == ()


def test_pictures_beside_the_sound_are_passed_over() -> None:
    """A video's sound may be sent as it is."""
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


def test_tags_before_an_mp3_are_passed_over() -> None:
    picture = bytes(range(256)) * 1000
    size = bytes(len(picture) >> shift & 0x7F for shift in (21, 14, 7, 0))
    sample, _ = take(b"ID3\x04\x00\x00" + size + picture + encoded("mp3", speech(6.0, 48_000)))
    assert sample.original_format == "mp3"


def test_chunks_before_a_wavs_sound_are_passed_over() -> None:
    data = wav(before=b"LIST" + struct.pack("<I", 5) + b"hello\0")
    assert take(data)[0].frames == 51_200


UNKNOWN = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("whole", "sound"),
    [(UNKNOWN, UNKNOWN), (0, UNKNOWN), (0, 0), (36, 0), (UNKNOWN, 0)],
    ids=["as /generate sends it", "unknown sound", "nothing", "never finished", "unknown whole"],
)
@pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAVEX", "FLOAT")])
def test_a_wav_whose_length_was_not_known_is_read_to_its_end(
    whole: int, sound: int, form: str, subtype: str
) -> None:
    told = sndfile(speech(6.0, 24_000, 2), 24_000, form, subtype)
    untold = bytearray(told)
    struct.pack_into("<I", untold, 4, whole)
    struct.pack_into("<I", untold, told.index(b"data") + 4, sound)
    sample, audio = take(bytes(untold))
    expected, same = take(told)
    assert sample == expected
    assert np.array_equal(audio, same)


def test_what_the_server_streams_is_taken_as_a_sample() -> None:
    pcm = np.rint(speech(6.0, 22_050)[:, 0] * 32767).astype("<i2").tobytes()
    sample, _ = take(wav_header(22_050, None) + pcm)
    assert (sample.duration_s, sample.warnings) == (6.0, ())


def test_a_wav_of_unknown_length_that_breaks_off_within_a_sample_is_cut_off() -> None:
    streamed = wav_header(22_050, None) + bytes(range(256)) * 400
    assert "cut off" in refused(streamed[:-1]).message
    assert "holds no sound" in refused(streamed[:44]).message
    assert "60 s are the most" in refused(streamed * 60).message


def test_a_wav_without_sound_has_none_though_something_follows() -> None:
    silent = bytearray(wav_header(22_050, 0) + b"LIST\x04\0\0\0INFO")
    struct.pack_into("<I", silent, 4, len(silent) - 8)
    assert "holds no sound" in refused(bytes(silent)).message


@pytest.mark.parametrize("kind", KINDS)
def test_a_minute_is_not_too_long_and_no_codec_makes_it_so(kind: str) -> None:
    """Codecs fill up their last frame."""
    sample, _ = take(encoded(kind, speech(60.0, 48_000)))
    assert 59.9 < sample.duration_s <= 60.0


def test_the_picture_of_the_sound_follows_it() -> None:
    loud_then_quiet = np.concatenate([speech(3.0), speech(3.0) * 0.1])
    sample, _ = take(sndfile(loud_then_quiet, 44_100, "WAV"))
    lows, highs = np.array(sample.waveform).reshape(200, 2).T

    assert (lows <= 50).all()
    assert (highs >= 50).all()
    assert min(lows.min(), 100 - highs.max()) == 0
    assert (highs - lows)[5:95].min() > 30
    assert 0 < (highs - lows)[105:].max() < 12


# What is warned about


@pytest.mark.parametrize(
    ("seconds", "warned"), [(0.5, True), (4.9, True), (5.0, False), (10.0, False), (10.1, True), (60.0, True)]
)
def test_a_length_that_clones_less_well_is_warned_about(seconds: float, warned: bool) -> None:
    sample, _ = take(sndfile(speech(seconds, 16_000), 16_000, "WAV"))
    assert [warning for warning in sample.warnings if "5 to 10 s" in warning] == list(sample.warnings)
    assert bool(sample.warnings) is warned


def test_two_channels_are_mixed_and_that_is_said() -> None:
    sent = speech(6.0, channels=2)
    sample, audio = take(sndfile(sent, 44_100, "WAV", "FLOAT"))
    mixed = sent.mean(axis=1)
    np.testing.assert_allclose(audio, mixed * (0.95 / np.abs(mixed).max()), atol=1e-4)
    assert sample.warnings == ("The recording was stereo and was mixed down to mono.",)


def test_a_quiet_recording_is_raised_and_that_is_said() -> None:
    sample, audio = take(sndfile(speech(6.0, level=0.02), 44_100, "WAV", "PCM_24"))
    assert np.abs(audio).max() == pytest.approx(0.95, abs=1e-4)
    assert [warning for warning in sample.warnings if "very quiet" in warning] == list(sample.warnings) != []


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "opus", "webm"])
def test_a_clipped_recording_is_warned_about(kind: str) -> None:
    clipped = np.clip(speech(6.0, 48_000, level=1.2), -1, 1)
    sample, _ = take(encoded(kind, clipped))
    assert [warning for warning in sample.warnings if "clipped" in warning] == list(sample.warnings) != []


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_a_recording_that_touches_full_scale_is_not_clipped(kind: str) -> None:
    sent = speech(6.0, 48_000) + np.float32(0)
    sent *= 0.999 / np.abs(sent).max()
    assert take(encoded(kind, sent))[0].warnings == ()


def test_floats_beyond_full_scale_are_not_clipped() -> None:
    """Nothing cut them off there."""
    sample, audio = take(sndfile(speech(6.0, level=20_000.0), 44_100, "WAV", "FLOAT"))
    assert sample.warnings == ()
    assert sample.peak > 15_000
    assert np.abs(audio).max() == pytest.approx(0.95, abs=1e-4)


@pytest.mark.parametrize("kind", ["mp3", "ogg", "opus"])
def test_a_stream_that_ends_too_early_is_read_and_that_is_said(kind: str) -> None:
    data = encoded(kind, speech(12.0, 48_000))
    sample, _ = take(data[: len(data) * 6 // 10])
    assert [warning for warning in sample.warnings if "cut off" in warning] == list(sample.warnings) != []


# What is refused


def refused(data: bytes, limits: VoiceSampleLimits = LIMITS) -> SpeechError:
    with pytest.raises(SpeechError) as caught:
        take(data, limits)
    return caught.value


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        pytest.param(wav(rate=2**31 - 1), BadValue, "2147483647 Hz", id="2^31-1 Hz"),
        pytest.param(wav(rate=1), BadValue, "1 Hz", id="1 Hz"),
        pytest.param(wav(rate=0), BadValue, "0 Hz", id="0 Hz"),
        pytest.param(wav(rate=7_999), BadValue, "7999 Hz", id="7999 Hz"),
        pytest.param(wav(rate=192_001), BadValue, "192001 Hz", id="192001 Hz"),
        pytest.param(wav(channels=0), BadValue, "0 channels", id="no channels"),
        pytest.param(wav(channels=3), BadValue, "3 channels", id="three channels"),
        pytest.param(wav(channels=65_535), BadValue, "65535 channels", id="65535 channels"),
        pytest.param(wav(claimed=0xFFFFFFFF), TooLarge, "lasts 48696 s", id="4 GB"),
        pytest.param(wav(claimed=0x7FFFFFFF), TooLarge, "60 s are the most", id="2 GB"),
        pytest.param(wav(claimed=102_402), BadAudio, "cut off", id="one sample more than there is"),
        pytest.param(wav(b""), BadValue, "holds no sound", id="no samples"),
        pytest.param(wav(bits=0), BadAudio, "coded in a way", id="0 bits"),
        pytest.param(wav(bits=65_535), BadAudio, "coded in a way", id="65535 bits"),
        pytest.param(wav(coding=0x55), BadAudio, "coded in a way", id="mp3 in wav"),
        pytest.param(wav(coding=0x31), BadAudio, "coded in a way", id="gsm in wav"),
        pytest.param(wav()[:12], BadAudio, "cut off", id="nothing after the magic"),
        pytest.param(wav()[:30], BadAudio, "cut off", id="half a header"),
        pytest.param(wav(before=b"JUNK\xff\xff\xff\xff"), BadAudio, "cut off", id="endless chunk"),
        pytest.param(wav(before=b"JUNK\0\0\0\0" * 5000), BadAudio, "cut off", id="endless chunks"),
        pytest.param(
            b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcdabcd", BadAudio, "damaged", id="data without format"
        ),
        pytest.param(b"", BadAudio, "holds no sound", id="no bytes"),
        pytest.param(b"\0" * 5000, BadAudio, "not a recording", id="zeros"),
        pytest.param(b"<!doctype html><p>hello", BadAudio, "not a recording", id="a page"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), BadAudio, "not a recording", id="a picture"),
        pytest.param(b"PK\x03\x04" + bytes(100), BadAudio, "not a recording", id="an archive"),
        pytest.param(
            b"OggS" + bytes(24) + b"\x80theora" + bytes(99), BadAudio, "not a rec", id="a video in ogg"
        ),
        pytest.param(
            b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(9), BadAudio, "not a rec", id="nothing after a tag"
        ),
        pytest.param(b"fLaC" + bytes(100), BadAudio, "damaged", id="a flac of nothing"),
        pytest.param(b"\0\0\0\x10ftypM4A " + bytes(100), BadAudio, "damaged", id="an m4a of nothing"),
        pytest.param(b"\x1a\x45\xdf\xa3" + bytes(100), BadAudio, "damaged", id="a webm of nothing"),
    ],
)
def test_a_header_is_checked_before_anything_is_decoded(
    data: bytes, error: type[SpeechError], words: str
) -> None:
    caught = refused(data)
    assert type(caught) is error
    assert words in caught.message
    assert caught.message.endswith(".")


def test_aiff_is_another_kind() -> None:
    assert type(refused(sndfile(speech(6.0), 44_100, "AIFF", "PCM_16"))) is BadAudio


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_a_minute_is_too_large(kind: str) -> None:
    caught = refused(encoded(kind, speech(61.0, 16_000), 16_000))
    assert type(caught) is TooLarge
    assert "60 s are the most" in caught.message


@pytest.mark.parametrize("kind", KINDS)
def test_less_than_half_a_second_is_too_short(kind: str) -> None:
    caught = refused(encoded(kind, speech(0.4, 48_000)))
    assert type(caught) is BadValue
    assert "0.5 s are the least" in caught.message


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(300_000), "silent"),
        (np.full(300_000, 0.5), "silent"),
        (np.random.default_rng(0).normal(0, 1e-4, 300_000), "silent"),
        (np.sign(speech(6.0)[:, 0]), "clipped through"),
        (np.clip(speech(6.0)[:, 0] * 100, -1, 1), "clipped through"),
        (np.stack([speech(6.0)[:, 0], -speech(6.0)[:, 0]], axis=1), "cancel each other out"),
    ],
    ids=["zeros", "constant", "below any microphone", "square", "far too loud", "opposite channels"],
)
def test_what_holds_no_speech_is_refused(samples: Floats, words: str) -> None:
    samples = samples.reshape(len(samples), -1)
    caught = refused(sndfile(samples, 44_100, "WAV"))
    assert type(caught) is BadValue
    assert words in caught.message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("place", [0, 100_000, 264_599])
def test_what_is_no_number_is_refused(value: float, place: int) -> None:
    samples = speech(6.0).astype(np.float64)
    samples[place] = value
    caught = refused(sndfile(samples, 44_100, "WAV", "DOUBLE"))
    assert type(caught) is BadAudio
    assert "not numbers" in caught.message


def test_numbers_near_the_end_of_all_numbers_do_no_harm() -> None:
    """Each is finite, not so their sums."""
    samples = speech(6.0, 48_000, level=0.8) * np.float32(3e38)
    check_answered(sndfile(samples, 48_000, "WAV", "FLOAT"))


@settings(max_examples=40, deadline=None)
@given(cut=st.floats(0.0, 1.0, exclude_max=True), kind=st.sampled_from(["wav", "flac"]))
def test_no_beginning_of_a_wav_or_flac_passes_for_the_whole(cut: float, kind: str) -> None:
    data = whole(kind)
    assert isinstance(refused(data[: int(cut * len(data))]), BadAudio)


def test_half_an_m4a_is_cut_off() -> None:
    data = encoded("m4a", speech(12.0, 48_000))
    assert type(refused(data[: len(data) // 2])) is BadAudio
    without_index_first = ffmpeg(speech(12.0, 48_000), 48_000, "mp4", "aac")
    assert type(refused(without_index_first[: len(data) // 2])) is BadAudio


@pytest.mark.parametrize("claimed", [1, 44_100, 6 * 44_100, 2**36 - 1])
def test_a_flac_that_lies_about_its_length_is_found_out(claimed: int) -> None:
    """Seventy seconds that say to be another time."""
    check_answered(flac_claiming(sndfile(speech(70.0, 44_100), 44_100, "FLAC"), claimed))


def test_a_flac_of_unknown_length_is_counted() -> None:
    data = flac_claiming(sndfile(np.zeros((3600 * 8_000, 1), np.float32), 8_000, "FLAC"), 0)
    assert type(refused(data)) is TooLarge


def test_limits_are_those_given() -> None:
    data = encoded("wav", speech(6.0, 48_000, 2))
    assert type(refused(data, VoiceSampleLimits(longest_s=5.0))) is TooLarge
    assert type(refused(data, VoiceSampleLimits(shortest_s=7.0))) is BadValue
    assert type(refused(data, VoiceSampleLimits(highest_rate=44_100))) is BadValue
    assert type(refused(data, VoiceSampleLimits(most_channels=1))) is BadValue


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure, match="cannot be opened: No such file or directory"):
        decode(tmp_path / "nothing", tmp_path / "target", LIMITS)


def test_a_target_that_cannot_be_written_is_the_servers_fault(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(whole("wav"))
    with pytest.raises(StorageFailure):
        decode(source, tmp_path / "missing" / "target", LIMITS)


# Whatever the bytes


FUZZ: Any = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(
    kind=st.sampled_from(KINDS), changes=st.lists(st.tuples(st.integers(0), st.integers(0, 7)), max_size=8)
)
def test_flipped_bits_are_answered(kind: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(whole(kind))
    for place, bit in changes:
        data[place % len(data)] ^= 1 << bit
    check_answered(bytes(data))


@FUZZ
@given(kind=st.sampled_from(KINDS), place=st.integers(0, 200), put=st.binary(min_size=1, max_size=16))
def test_overwritten_headers_are_answered(kind: str, place: int, put: bytes) -> None:
    data = whole(kind)
    check_answered(data[:place] + put + data[place + len(put) :])


@FUZZ
@given(kind=st.sampled_from(KINDS), start=st.floats(0, 1), end=st.floats(0, 1))
def test_pieces_are_answered(kind: str, start: float, end: float) -> None:
    data = whole(kind)
    check_answered(data[: int(start * len(data))] + data[int(end * len(data)) :])


MAGICS = (b"RIFF\0\0\0\0WAVEfmt ", b"fLaC\0\0\0\x22", b"OggS", b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80")
MORE_MAGICS = (b"\0\0\0\x20ftypM4A ", b"\x1a\x45\xdf\xa3", b"ID3\x04\0\0\0\0\0\0", b"")


@FUZZ
@given(magic=st.sampled_from(MAGICS + MORE_MAGICS), rest=st.binary(max_size=4096))
def test_noise_is_answered(magic: bytes, rest: bytes) -> None:
    check_answered(magic + rest)


@settings(max_examples=300)
@given(data=st.binary(max_size=300))
def test_noise_is_hardly_ever_taken_for_a_recording(data: bytes) -> None:
    if data[:1] not in (b"\xff", b"I") and data[4:8] != b"ftyp":
        assert sniff(io.BytesIO(data)) is None or data[:4] in (b"RIFF", b"fLaC", b"OggS", b"\x1a\x45\xdf\xa3")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_known_by_its_content(kind: str, tmp_path: Path) -> None:
    assert sniff(io.BytesIO(whole(kind))) == kind


def test_layers_that_are_not_the_third_are_not_mp3() -> None:
    make: Callable[[int], bytes] = lambda second: bytes([0xFF, second, 0x90, 0x64])  # noqa: E731
    assert [sniff(io.BytesIO(make(second))) for second in (0xFB, 0xFD, 0xFF, 0xF3, 0xEB)] == [
        "mp3",
        None,
        None,
        "mp3",
        None,
    ]
