"""Limits and properties of voice samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from msgspec import Meta

VoiceSampleFormat = Literal[
    "wav", "w64", "aiff", "caf", "mp3", "flac", "ogg", "opus", "m4a", "aac", "webm", "amr", "wma"
]
"""Format of an upload, by content. wav includes RF64; ogg is Vorbis or FLAC in Ogg, opus is Opus in Ogg."""

VOICE_SAMPLE_FORMATS: tuple[VoiceSampleFormat, ...] = get_args(VoiceSampleFormat)

SAMPLE_RATE = 44_100
"""Sample rate of every stored voice sample, in Hz: that of Dia's codec."""

BEST_S = (5.0, 10.0)
"""Range of durations that clone best, in seconds (Dia's own advice)."""

WAVEFORM_PAIRS = 200


@dataclass(frozen=True, slots=True)
class VoiceSampleLimits:
    """Limits on a recording, and on what decoding it may cost.

    shortest_s, longest_s: duration, in seconds. lowest_rate, highest_rate: sample rate, in Hz.
    patience_s: time for a child that runs only on idle processors. If it does not answer, a second one gets
    timeout_s and a small share of a busy processor. cpu_s: processor time, in whole seconds.
    memory_bytes: address space. The most demanding recording within the other limits, a webm, needs 288 MiB.
    """

    shortest_s: float = 0.5
    longest_s: float = 60.0
    lowest_rate: int = 8_000
    highest_rate: int = 192_000
    most_channels: int = 2
    patience_s: float = 3.0
    timeout_s: float = 20.0
    cpu_s: int = 5
    memory_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedVoiceSample:
    """A recording that was read and stored as a mono 16-bit WAV file whose highest peak is 0.95.

    duration_s, sample_rate [Hz], frames: of the stored file. original_format, original_sample_rate [Hz],
    channels: of the upload. peak: highest level of the upload, mixed down to mono; 1.0 is full scale, which
    floating-point files may exceed. warnings: sentences for the user, each with advice.
    waveform: WAVEFORM_PAIRS pairs of the lowest and highest level in equal parts of the file, flattened and
    scaled to 0-100; 50 is silence, and the highest peak is at 0 or 100.
    """

    duration_s: float
    sample_rate: int = SAMPLE_RATE
    original_format: VoiceSampleFormat
    original_sample_rate: int
    channels: int
    peak: float
    warnings: tuple[str, ...]
    frames: int
    waveform: tuple[Annotated[int, Meta(ge=0, le=100)], ...]
