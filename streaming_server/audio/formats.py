"""Audio formats and their names in HTTP."""

from __future__ import annotations

from typing import Literal

AudioFormat = Literal["wav", "mp3", "opus", "aac", "flac", "pcm"]
"""Format of a body of audio. opus is in Ogg, aac in ADTS; pcm is headerless."""

CONTENT_TYPES: dict[AudioFormat, str] = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "pcm": "audio/pcm",
}
"""Media type of each format, without parameters."""


def is_coded(audio_format: AudioFormat) -> bool:
    """Return whether the format has a codec; the others hold plain samples."""
    return audio_format not in ("wav", "pcm")


def content_type(audio_format: AudioFormat, sample_rate: int) -> str:
    """Return the Content-Type of a mono body. For headerless pcm it tells the rate (Hz) and channels."""
    kind = CONTENT_TYPES[audio_format]
    return f"{kind};rate={sample_rate};channels=1" if audio_format == "pcm" else kind
