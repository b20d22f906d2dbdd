"""Check that a recording holds speech at a usable level, and bring it to the level of a voice sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streaming_server.errors import BadAudio, BadValue
from streaming_server.voice_samples.decoding import Floats, Recording
from streaming_server.voice_samples.voice_sample import (
    BEST_S,
    SAMPLE_RATE,
    WAVEFORM_PAIRS,
    DecodedVoiceSample,
)

PEAK = 0.95
"""Highest peak of a voice sample; 1.0 is full scale."""

SILENT_PEAK = 1e-3
"""-60 dB: speech below it drowns in the noise of any microphone."""

SILENT_RMS = 3e-4
"""-70 dB, without a constant offset."""

QUIET_PEAK = 3e-2
"""-30 dB: at full scale, the noise of 16 bits and of the room would be heard."""

CLIPPED_SHARE, ENTIRELY_CLIPPED_SHARE = 5e-3, 0.5
"""Share of samples at full scale. Loud, well-mastered speech stays below 0.001."""


def normalize(recording: Recording) -> tuple[DecodedVoiceSample, bytes]:
    """Return the voice sample and its 16-bit PCM at SAMPLE_RATE. Scales `recording.audio` in place.

    Raise BadValue for silence, a constant, or a recording at full scale throughout, and BadAudio for levels
    that cannot be represented.
    """
    peak = _scale_to_one(recording)
    audio = recording.audio
    duration_s = len(audio) / SAMPLE_RATE
    sample = DecodedVoiceSample(
        duration_s=duration_s,
        original_format=recording.format,
        original_sample_rate=recording.sample_rate,
        channels=recording.channels,
        peak=peak,
        warnings=tuple(_warnings(recording, duration_s, peak)),
        frames=len(audio),
        waveform=_waveform(audio),
    )
    return sample, np.rint(audio * np.float32(PEAK * 32767)).astype("<i2").tobytes()


def _scale_to_one(recording: Recording) -> float:
    """Scale the audio so that its highest peak is 1.0; return what the peak was."""
    audio = recording.audio
    peak = float(np.abs(audio).max())
    if not np.isfinite(peak):
        raise BadAudio("The recording's level cannot be represented. Save it as a 16-bit WAV.")
    if peak >= SILENT_PEAK:
        audio /= np.float32(peak)
    if peak < SILENT_PEAK or float(np.std(audio, dtype=np.float64)) * peak < SILENT_RMS:
        if recording.channels > 1 and recording.highest_peak >= QUIET_PEAK:
            raise BadValue("The two channels cancel each other out. Send one of them, as mono.")
        raise BadValue("The recording is silent. Check the microphone and record again.")
    if recording.clipped_share >= ENTIRELY_CLIPPED_SHARE:
        raise BadValue(
            "The recording is clipped throughout: most of it is at full scale."
            " Lower the microphone's level and record again."
        )
    return peak


def _warnings(recording: Recording, duration_s: float, peak: float) -> Iterator[str]:
    if recording.clipped_share >= CLIPPED_SHARE:
        yield (
            f"The recording is clipped: {recording.clipped_share:.1%} of it is at full scale, which the voice"
            " will sound like. Lower the microphone's level and record again."
        )
    if not BEST_S[0] <= duration_s <= BEST_S[1]:
        yield (
            f"The recording lasts {duration_s:.1f} s; {BEST_S[0]:g} to {BEST_S[1]:g} s of speech clone best."
        )
    if peak < QUIET_PEAK:
        yield "The recording is very quiet; its noise was amplified too. Move closer to the microphone."
    if recording.channels > 1:
        yield "The recording was stereo and was mixed down to mono."
    if recording.incomplete:
        yield "The recording seems to be cut off. If there is more of it, send the whole file."


def _waveform(audio: Floats) -> tuple[int, ...]:
    starts = np.arange(WAVEFORM_PAIRS) * len(audio) // WAVEFORM_PAIRS
    pairs = np.stack([np.minimum.reduceat(audio, starts), np.maximum.reduceat(audio, starts)], axis=1)
    return tuple(np.clip(np.rint(50 + 50 * pairs), 0, 100).astype(int).ravel().tolist())
