"""Every format, decoded as by a player, for audio written in any pieces."""

from __future__ import annotations

import gc
import io
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from hashlib import md5
from itertools import pairwise
from math import pi
from time import thread_time
from typing import Any, get_args

import av
import numpy as np
import psutil
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaming_server.audio.body import CODED_RATES, AudioBody, open_body
from streaming_server.audio.formats import AudioFormat
from streaming_server.errors import BadValue

AUDIO_FORMATS: tuple[AudioFormat, ...] = get_args(AudioFormat)
CODED: tuple[AudioFormat, ...] = ("mp3", "opus", "aac", "flac")
DEMUXERS: dict[AudioFormat, str] = {"wav": "wav", "mp3": "mp3", "opus": "ogg", "aac": "aac", "flac": "flac"}
"""Demuxers by format, as FFmpeg cannot detect aac from a single frame."""

LOSSLESS: tuple[AudioFormat, ...] = ("wav", "flac", "pcm")
LOSSY: tuple[AudioFormat, ...] = ("mp3", "opus", "aac")

ENCODER_DELAY: dict[AudioFormat, int] = {"mp3": 1105, "opus": 0, "aac": 1024}
"""Delay in samples."""

HELD_MS: dict[tuple[AudioFormat, int], int] = {
    ("wav", 24000): 0,
    ("pcm", 24000): 0,
    ("flac", 8000): 145,
    ("flac", 24000): 49,
    ("flac", 48000): 25,
    ("opus", 8000): 47,
    ("opus", 24000): 47,
    ("opus", 48000): 47,
    ("opus", 22050): 97,
    ("mp3", 8000): 282,
    ("mp3", 24000): 94,
    ("mp3", 48000): 72,
    ("aac", 8000): 384,
    ("aac", 24000): 128,
    ("aac", 48000): 64,
}
"""Documented delay from a sample's push to the bytes that contain it."""


def speech(samples: int, rate: int) -> bytes:
    """Return a voice-like sweep with no self-similarity under shifts."""
    t = np.arange(samples) / rate
    sweep = np.sin(2 * pi * (200 * t + 60 * t * t)) * np.abs(np.sin(9 * t)) * 9000
    return (sweep + np.random.default_rng(0).normal(0, 50, samples)).astype("<i2").tobytes()


def written(body: AudioBody, parts: Iterable[bytes]) -> bytes:
    return b"".join([*(body.push(part) for part in parts), body.finish()])


def whole_file(audio_format: AudioFormat, pcm: bytes, rate: int, *, bit_rate: int | None = None) -> bytes:
    """Return the audio as a file, with its true length in the header."""
    with closing(open_body(audio_format, rate, bit_rate=bit_rate)) as writer:
        body = written(writer, [pcm])
        head = writer.final_head()
    return head + body[len(head) :]


def decoded(body: bytes, audio_format: AudioFormat) -> tuple[NDArray[np.float64], int]:
    """Return the decoded samples, at 16-bit scale, and their rate."""
    if audio_format == "pcm":
        return np.frombuffer(body, "<i2").astype(float), 0
    with av.open(io.BytesIO(body), "r", format=DEMUXERS[audio_format]) as container:
        parts: list[NDArray[Any]] = []
        for frame in container.decode(audio=0):
            scale = 1 if frame.format.name.startswith("s16") else 32768
            parts.append(frame.to_ndarray()[0] * float(scale))
        return np.concatenate(parts or [np.zeros(0)]), container.streams.audio[0].rate


def decoded_s(body: bytes, audio_format: AudioFormat, rate: int) -> float:
    """Return the seconds that can be decoded so far."""
    try:
        samples, heard_rate = decoded(body, audio_format)
    except (av.error.InvalidDataError, av.error.EOFError):
        return 0.0
    return len(samples) / (heard_rate or rate)


@pytest.mark.parametrize("rate", CODED_RATES)
@pytest.mark.parametrize("audio_format", LOSSLESS)
def test_lossless_formats_give_the_same_samples(audio_format: AudioFormat, rate: int) -> None:
    pcm = speech(rate + 1, rate)
    body = written(open_body(audio_format, rate), [pcm])
    samples, heard_rate = decoded(body, audio_format)
    assert samples.astype("<i2").tobytes() == pcm
    assert audio_format == "pcm" or heard_rate == rate


@pytest.mark.parametrize("rate", CODED_RATES)
@pytest.mark.parametrize("audio_format", LOSSY)
def test_lossy_formats_keep_sound_and_duration(audio_format: AudioFormat, rate: int) -> None:
    pcm = speech(2 * rate, rate)
    body = written(open_body(audio_format, rate), [pcm])
    samples, heard_rate = decoded(body, audio_format)
    late = ENCODER_DELAY[audio_format]
    said = soxr.resample(np.frombuffer(pcm, "<i2").astype(float), rate, heard_rate)
    heard = samples[late : late + len(said)]
    assert np.corrcoef(said, heard)[0, 1] > 0.99
    tail = len(samples) - late - len(said)
    assert tail == 0 if audio_format == "opus" else 0 <= tail <= 2 * 1152
    assert heard_rate == (48000 if audio_format == "opus" else rate)


@pytest.mark.parametrize("rate", [8000, 9999, 22050, 44100, 47999])
def test_opus_and_flac_take_unusual_rates(rate: int) -> None:
    pcm = speech(rate, rate)
    samples, heard_rate = decoded(written(open_body("opus", rate), [pcm]), "opus")
    assert len(samples) == pytest.approx(heard_rate, abs=10)
    samples, heard_rate = decoded(written(open_body("flac", rate), [pcm]), "flac")
    assert (len(samples), heard_rate) == (rate, rate)


@pytest.mark.parametrize("audio_format", AUDIO_FORMATS)
@settings(max_examples=20, deadline=None)
@given(
    rate=st.sampled_from([8000, 22050, 24000]),
    sizes=st.lists(st.one_of(st.integers(0, 5), st.integers(1, 9000)), max_size=12),
    length=st.integers(0, 9000),
)
def test_the_bytes_do_not_depend_on_the_pieces(
    audio_format: AudioFormat, rate: int, sizes: list[int], length: int
) -> None:
    pcm = speech(length, rate)
    cuts = [0, *np.minimum(2 * np.cumsum(sizes, dtype=int), len(pcm)).tolist(), len(pcm)]
    parts = [pcm[start:end] for start, end in pairwise(cuts)]
    assert written(open_body(audio_format, rate), parts) == written(open_body(audio_format, rate), [pcm])


@pytest.mark.parametrize("samples", [1, 2, 159, 161])
@pytest.mark.parametrize("audio_format", AUDIO_FORMATS)
def test_very_short_audio_is_a_whole_body(audio_format: AudioFormat, samples: int) -> None:
    body = written(open_body(audio_format, 24000), [speech(samples, 24000)])
    least = samples / 24000
    assert least <= decoded_s(body, audio_format, 24000) <= least + 0.1


@pytest.mark.parametrize("audio_format", AUDIO_FORMATS)
def test_no_audio_gives_at_most_a_head(audio_format: AudioFormat) -> None:
    writer = open_body(audio_format, 24000)
    head = writer.push(b"")
    assert bool(head) == (audio_format in ("wav", "opus"))
    assert writer.push(b"") == b""
    assert writer.finish() == b""


@pytest.mark.parametrize("audio_format", AUDIO_FORMATS)
def test_the_first_push_includes_the_head(audio_format: AudioFormat) -> None:
    pcm = speech(5000, 24000)
    writer = open_body(audio_format, 24000)
    body = writer.push(pcm) + writer.finish()
    assert body == written(open_body(audio_format, 24000), [pcm])


@pytest.mark.parametrize(("audio_format", "rate"), HELD_MS)
def test_holds_back_no_more_than_documented(audio_format: AudioFormat, rate: int) -> None:
    pcm = speech(rate, rate)
    piece = 2 * (rate // 1000)
    writer = open_body(audio_format, rate)
    body = bytearray(writer.push(b""))
    heard_s, delay_s = 0.0, ENCODER_DELAY.get(audio_format, 0) / (48000 if audio_format == "opus" else rate)
    worst_s = 0.0
    for start in range(0, len(pcm), piece):
        more = writer.push(pcm[start : start + piece])
        pushed_s = min(start + piece, len(pcm)) / 2 / rate
        if more:
            # Just before these bytes the wait for them was the longest.
            worst_s = max(worst_s, pushed_s - heard_s - piece / 2 / rate)
            body += more
            heard_s = max(0.0, decoded_s(bytes(body), audio_format, rate) - delay_s)
    assert heard_s > 0
    assert worst_s * 1000 <= HELD_MS[audio_format, rate] + 0.5


@pytest.mark.parametrize("audio_format", AUDIO_FORMATS)
@pytest.mark.parametrize("rate", [8000, 24000, 48000])
def test_a_push_of_100_ms_is_fast(audio_format: AudioFormat, rate: int) -> None:
    """Measures CPU time, as the machine may be busy; includes the first push, which opens the codec."""
    pcm = speech(rate * 3, rate)
    with closing(open_body(audio_format, rate)) as writer:
        took = []
        for start in range(0, len(pcm), rate // 5):
            began = thread_time()
            writer.push(pcm[start : start + rate // 5])
            took.append(thread_time() - began)
    assert sorted(took)[len(took) // 2] < 0.003


@pytest.mark.parametrize("audio_format", ["wav", "flac", "mp3", "opus"])
@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_libsndfile_reads_a_whole_file(audio_format: AudioFormat, rate: int) -> None:
    pcm = speech(rate // 2, rate)
    samples, heard_rate = soundfile.read(
        io.BytesIO(whole_file(audio_format, pcm, rate)), dtype="int16", always_2d=False
    )
    assert len(samples) / heard_rate == pytest.approx(0.5, abs=0.3 if audio_format == "mp3" else 0.001)
    if audio_format in LOSSLESS:
        assert (samples.astype("<i2").tobytes(), heard_rate) == (pcm, rate)


@pytest.mark.parametrize(
    ("audio_format", "length"), [("wav", 0), ("wav", 1), ("wav", 70000), ("flac", 1), ("flac", 70000)]
)
def test_a_whole_file_has_its_length(audio_format: AudioFormat, length: int) -> None:
    body = whole_file(audio_format, speech(length, 24000), 24000)
    assert soundfile.info(io.BytesIO(body)).frames == length


@pytest.mark.parametrize("audio_format", AUDIO_FORMATS)
def test_the_final_head_fits_over_the_first(audio_format: AudioFormat) -> None:
    writer = open_body(audio_format, 24000)
    head = writer.push(b"")
    body = head + writer.push(speech(12345, 24000)) + writer.finish()
    assert len(writer.final_head()) == len(head) or audio_format == "flac"
    assert decoded(writer.final_head() + body[len(writer.final_head()) :], audio_format)[0].tobytes() == (
        decoded(body, audio_format)[0].tobytes()
    )


def test_the_final_head_of_flac_has_the_checksum_of_the_audio() -> None:
    pcm = speech(12345, 24000)
    streaminfo = whole_file("flac", pcm, 24000)[8:42]
    assert streaminfo[-16:] == md5(pcm).digest()


@pytest.mark.slow
@pytest.mark.parametrize("rate", [22050, 48000])
@pytest.mark.parametrize(
    ("audio_format", "most_kib"), [("flac", 160), ("opus", 500), ("mp3", 420), ("aac", 800)]
)
def test_an_open_body_takes_little_memory(audio_format: AudioFormat, most_kib: int, rate: int) -> None:
    """Measured in a process of its own, as others leave memory behind that bodies may take."""
    code = (
        "import sys, psutil\n"
        "from streaming_server.audio.body import open_body\n"
        f"def opened():\n"
        f"    writer = open_body({audio_format!r}, {rate})\n"
        f"    for _ in range(20): writer.push(bytes(range(256)) * 96)\n"
        f"    return writer\n"
        "for writer in [opened() for _ in range(8)]: writer.close()\n"
        "before = psutil.Process().memory_info().rss\n"
        "kept = [opened() for _ in range(50)]\n"
        "print((psutil.Process().memory_info().rss - before) // 50 // 1024)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(told.stdout) < most_kib


@pytest.mark.parametrize(
    ("audio_format", "rate", "bit_rate"),
    [
        ("mp3", 22050, 32000),
        ("mp3", 24000, 48000),
        ("mp3", 44100, 32000),
        ("mp3", 44100, 128000),
        ("mp3", 44100, 192000),
        ("opus", 48000, 32000),
        ("opus", 48000, 64000),
        ("opus", 48000, 128000),
        ("aac", 24000, 32000),
        ("aac", 48000, 128000),
    ],
)
def test_uses_the_given_bit_rate(audio_format: AudioFormat, rate: int, bit_rate: int) -> None:
    noise = np.random.default_rng(1).normal(0, 6000, 4 * rate).clip(-32768, 32767).astype("<i2").tobytes()
    body = whole_file(audio_format, noise, rate, bit_rate=bit_rate)
    ogg_pages = 12000 if audio_format == "opus" else 0
    assert len(body) * 8 / 4 == pytest.approx(bit_rate + ogg_pages, rel=0.12)


@pytest.mark.parametrize(
    ("audio_format", "rate", "bit_rate"),
    [
        ("mp3", 24001, None),
        ("aac", 96000, None),
        ("wav", 7999, None),
        ("pcm", 0, None),
        ("flac", 48001, None),
        ("opus", 96000, None),
        ("mp3", 24000, 192000),
        ("mp3", 44100, 100000),
        ("mp3", 8000, 128000),
        ("opus", 48000, 5999),
        ("opus", 48000, 0),
        ("aac", 8000, 64000),
        ("aac", 24000, -1),
    ],
)
def test_refuses_unsupported_rates(audio_format: AudioFormat, rate: int, bit_rate: int | None) -> None:
    with pytest.raises(BadValue):
        open_body(audio_format, rate, bit_rate=bit_rate)


@pytest.mark.parametrize("audio_format", AUDIO_FORMATS)
def test_gives_nothing_after_close(audio_format: AudioFormat) -> None:
    with closing(open_body(audio_format, 24000)) as writer:
        writer.push(speech(10000, 24000))
    writer.close()
    with closing(open_body(audio_format, 24000)):
        pass


@pytest.mark.parametrize("audio_format", CODED)
def test_unfinished_bodies_do_not_leak(audio_format: AudioFormat) -> None:
    pcm = speech(4800, 22050)

    def leave_early(times: int) -> int:
        for _ in range(times):
            with closing(open_body(audio_format, 22050)) as writer:
                writer.push(pcm)
        gc.collect()
        return int(psutil.Process().memory_info().rss)

    leave_early(50)
    before = leave_early(50)
    assert leave_early(150) - before < 10_000_000


def test_wav_and_pcm_do_not_import_ffmpeg() -> None:
    code = (
        "import sys\n"
        "from streaming_server.audio.body import open_body\n"
        "assert len(open_body('wav', 24000).push(bytes(10))) == 54\n"
        "assert len(open_body('pcm', 24000).push(bytes(10))) == 10\n"
        "assert 'av' not in sys.modules and 'numpy' not in sys.modules\n"
        "open_body('flac', 24000).push(bytes(10))\n"
        "assert 'av' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
