"""Recordings in every format, made with libsndfile and FFmpeg, and WAV files with any header."""

from __future__ import annotations

import io
import struct
import tempfile
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PITCH = 440.0
"""Frequency of `speech` in Hz."""

FORMATS = ("wav", "w64", "aiff", "caf", "flac", "mp3", "ogg", "opus", "m4a", "aac", "webm", "amr", "wma")


@lru_cache(maxsize=16)
def speech(seconds: float, rate: int = 44_100, channels: int = 1, level: float = 0.3) -> Floats:
    """Return a tone of PITCH that swells like speech, with noise; shape (frames, channels), read-only."""
    time = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * PITCH * time) * (0.7 + 0.3 * np.sin(2 * np.pi * 2 * time))
    noise = np.random.default_rng(0).normal(0.0, 0.01, (len(time), channels))
    samples = ((tone[:, None] + noise) * level).astype(np.float32)
    samples.flags.writeable = False
    return samples


def sndfile(samples: Floats, rate: int, format: str, subtype: str | None = None) -> bytes:  # noqa: A002
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", rate, samples.shape[1], format=format, subtype=subtype) as file:
        for start in range(0, len(samples), rate):  # Given much at once, its Vorbis encoder crashes.
            file.write(samples[start : start + rate])
    return out.getvalue()


def ffmpeg(
    samples: Floats, rate: int, muxer: str, codec: str, bit_rate: int | None = None, **options: str
) -> bytes:
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with (
        tempfile.NamedTemporaryFile() as out,
        av.open(out.name, "w", format=muxer, options=options) as container,
    ):
        stream = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        pcm = np.ascontiguousarray((samples * 32767).astype("<i2").reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
        container.close()
        return out.read()


def encoded(form: str, samples: Floats, rate: int = 48_000) -> bytes:
    """Return a recording in one of FORMATS. AMR supports 8000 Hz mono only."""
    match form:
        case "wav" | "w64" | "aiff" | "caf" | "flac" | "mp3":
            return sndfile(samples, rate, form.upper())
        case "ogg":
            return sndfile(samples, rate, "OGG", "VORBIS")
        case "opus":
            return sndfile(samples, rate, "OGG", "OPUS")
        case "m4a":
            return ffmpeg(samples, rate, "mp4", "aac", movflags="faststart")
        case "aac":
            return ffmpeg(samples, rate, "adts", "aac")
        case "webm":
            return ffmpeg(samples, rate, "webm", "libopus")
        case "amr":
            return ffmpeg(samples, rate, "amr", "libopencore_amrnb")
        case "wma":
            return ffmpeg(samples, rate, "asf", "wmav2", bit_rate=64_000)
        case _:
            raise ValueError(form)


def amr_wb(frames: int) -> bytes:
    """Return AMR-WB frames with random parameters: 6.6 kbit/s, 20 ms each (RFC 4867, section 5)."""
    noise = np.random.default_rng(0)
    return b"#!AMR-WB\n" + b"".join(b"\x04" + noise.bytes(17) for _ in range(frames))


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
    """A WAV file with any header.

    claimed: size of the data chunk, in bytes. before: chunks before the format chunk.
    """
    size = len(data) if claimed is None else claimed
    align = channels * bits // 8
    form = struct.pack(
        "<HHIIHH", coding, channels, rate, rate * align & 0xFFFFFFFF, align & 0xFFFF, bits & 0xFFFF
    )
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", len(body) + size & 0xFFFFFFFF) + body + data


def pitch_of(audio: Floats) -> float:
    """Return the strongest frequency in Hz of the middle half, sampled at 44100 Hz."""
    middle = audio[len(audio) // 4 : len(audio) * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(np.argmax(spectrum)) * 44_100 / len(middle)
