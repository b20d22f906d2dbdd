"""Wrong sizes in the headers of WAV, RF64, Wave64, AIFF and CAF files."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import pytest
from helpers.recordings import sndfile, speech
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.voice_samples.chunks import correct_sizes
from streaming_server.voice_samples.decoder_child import read_voice_sample
from streaming_server.voice_samples.voice_sample import DecodedVoiceSample, VoiceSampleLimits

FRAMES = 6 * 44_100
CUT_OFF = "The recording seems to be cut off. If there is more of it, send the whole file."

PLACEHOLDERS_32 = (2_000_000_000, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF - 36, 0xFFFFFFFF, 0)
PLACEHOLDERS_64 = (*PLACEHOLDERS_32, 2**40, 2**63 - 1, 2**64 - 1)

W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


@cache
def recording(form: str, subtype: str) -> bytes:
    """Return six seconds, mono, 44.1 kHz."""
    return sndfile(speech(6.0), 44_100, form, subtype)


def size_field(form: str, data: bytes) -> tuple[int, str]:
    """Offset and `struct` format of the size of the audio."""
    match form:
        case "WAV" | "WAVEX":
            return data.index(b"data") + 4, "<I"
        case "RF64":
            return data.index(b"ds64") + 16, "<Q"
        case "W64":
            return data.index(W64_DATA) + 16, "<Q"
        case "AIFF":
            return data.index(b"SSND") + 4, ">I"
        case _:
            return data.index(b"data") + 4, ">Q"


def total_field(form: str, data: bytes) -> tuple[int, str] | None:
    """Offset and `struct` format of the size of the whole file."""
    return {
        "WAV": (4, "<I"),
        "WAVEX": (4, "<I"),
        "RF64": (data.find(b"ds64") + 8, "<Q"),
        "W64": (16, "<Q"),
        "AIFF": (4, ">I"),
    }.get(form)


def with_sizes(form: str, data: bytes, size: int, total: int | None = None) -> bytes:
    changed = bytearray(data)
    at, layout = size_field(form, data)
    struct.pack_into(layout, changed, at, size)
    if total is not None and (field := total_field(form, data)) is not None:
        struct.pack_into(field[1], changed, field[0], total)
    return bytes(changed)


def read(data: bytes, directory: Path) -> DecodedVoiceSample:
    source = directory / "source"
    source.write_bytes(data)
    return read_voice_sample(source, directory / "target", VoiceSampleLimits())


CASES = [
    pytest.param(form, subtype, size, id=f"{form} {subtype} {size:#x}")
    for form, subtypes, sizes in (
        ("WAV", ("PCM_16", "PCM_24", "FLOAT", "ULAW"), PLACEHOLDERS_32),
        ("WAVEX", ("PCM_16",), PLACEHOLDERS_32),
        ("RF64", ("PCM_16", "FLOAT"), PLACEHOLDERS_64),
        ("W64", ("PCM_16", "PCM_24"), (*PLACEHOLDERS_64, 24)),
        ("AIFF", ("PCM_16", "PCM_24", "FLOAT"), (*PLACEHOLDERS_32, 8)),
        ("CAF", ("PCM_16", "FLOAT"), (*PLACEHOLDERS_64, 4)),
    )
    for subtype in subtypes
    for size in sizes
]


@pytest.mark.parametrize("total", [None, 0, 0xFFFFFFFF, 8], ids=["true total", "0", "2^32-1", "8"])
@pytest.mark.parametrize(("form", "subtype", "size"), CASES)
def test_a_placeholder_size_gives_the_true_duration(
    form: str, subtype: str, size: int, total: int | None, tmp_path: Path
) -> None:
    data = recording(form, subtype)
    if total is None and size <= 24:
        total = 36  # A header that tells the true total was completed: its audio is empty.
    sample = read(with_sizes(form, data, size, total), tmp_path)
    assert (sample.frames, sample.duration_s, sample.warnings) == (FRAMES, 6.0, ())


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF"])
def test_a_plausible_size_that_is_too_large_is_clamped_and_warned_about(form: str, tmp_path: Path) -> None:
    data = recording(form, "PCM_16")
    sample = read(with_sizes(form, data, 2 * FRAMES + 44_100), tmp_path)
    assert (sample.frames, sample.warnings) == (FRAMES, (CUT_OFF,))


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_the_duration_of_a_truncated_file_is_what_is_left(form: str, kept: float, tmp_path: Path) -> None:
    data = recording(form, "PCM_16")
    data = data[: int(kept * len(data))]
    head = len(recording(form, "PCM_16")) - 2 * FRAMES
    sample = read(data, tmp_path)
    assert sample.frames == pytest.approx((len(data) - head) // 2, abs=60)
    assert CUT_OFF in sample.warnings


@pytest.mark.parametrize("frames", [0, 1, FRAMES * 2, 0x7FFFFFFF, 0xFFFFFFFF])
def test_the_frame_count_of_an_aiff_does_not_matter(frames: int, tmp_path: Path) -> None:
    data = bytearray(recording("AIFF", "PCM_16"))
    struct.pack_into(">I", data, data.index(b"COMM") + 10, frames)
    sample = read(bytes(data), tmp_path)
    assert (sample.frames, sample.warnings) == (FRAMES, ())


@pytest.mark.parametrize("form", ["WAV", "AIFF", "RF64"])
@pytest.mark.parametrize("pad", [b"", b"\0"], ids=["unpadded", "padded"])
@pytest.mark.parametrize("content", [b"x", b"hello", b"an odd length"])
def test_a_pad_byte_may_be_missing(form: str, pad: bytes, content: bytes, tmp_path: Path) -> None:
    data = recording(form, "PCM_16")
    name, order = (b"NAME", ">I") if form == "AIFF" else (b"JUNK", "<I")
    at = data.index(b"COMM" if form == "AIFF" else b"fmt ")
    chunk = name + struct.pack(order, len(content)) + content + pad
    sample = read(data[:at] + chunk + data[at:], tmp_path)
    assert (sample.frames, sample.warnings) == (FRAMES, ())


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF"])
@pytest.mark.parametrize("stray", [b"\0", b"x", b"\0\0\0"])
def test_stray_bytes_at_the_end_do_no_harm(form: str, stray: bytes, tmp_path: Path) -> None:
    sample = read(recording(form, "PCM_16") + stray, tmp_path)
    assert sample.frames == pytest.approx(FRAMES, abs=1)
    assert sample.warnings == ()


@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "AIFF", "CAF"])
def test_a_missing_last_byte_loses_one_pcm_sample(form: str, tmp_path: Path) -> None:
    head = len(recording(form, "PCM_16")) - 2 * FRAMES
    data = with_sizes(form, recording(form, "PCM_16"), 0x7FFFFFFF)
    sample = read(data[: head + 2 * FRAMES - 1], tmp_path)
    assert FRAMES - 60 <= sample.frames < FRAMES


def test_an_odd_number_of_bytes_of_audio_needs_no_padding(tmp_path: Path) -> None:
    samples = speech(6.0)[:-1]
    data = sndfile(samples, 44_100, "WAV", "PCM_24")
    at = data.index(b"data")
    unpadded = data[: at + 8 + 3 * len(samples)]
    assert len(unpadded) % 2 == 1
    for tail in (b"", b"LIST\x04\0\0\0INFO"):
        sample = read(unpadded + tail, tmp_path)
        assert (sample.frames, sample.warnings) == (len(samples), ())


@given(
    head=st.sampled_from([b"RIFF\0\0\0\0WAVE", b"RF64\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b"caff", b"riff"]),
    rest=st.binary(max_size=200),
)
def test_correcting_noise_ends(head: bytes, rest: bytes) -> None:
    file = bytearray(head + rest)
    correct_sizes(file)
    assert len(file) <= len(head + rest) + 1_000
