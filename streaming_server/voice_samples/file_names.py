"""Formats by the names of uploads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType

from streaming_server.voice_samples.voice_sample import VOICE_SAMPLE_FORMATS, VoiceSampleFormat

_FORMATS_OF_ENDINGS: Mapping[str, tuple[VoiceSampleFormat, ...]] = MappingProxyType(
    {
        ".wav": ("wav", "w64"),
        ".w64": ("w64",),
        ".rf64": ("wav",),
        ".aif": ("aiff",),
        ".aiff": ("aiff",),
        ".aifc": ("aiff",),
        ".caf": ("caf",),
        ".mp3": ("mp3",),
        ".flac": ("flac", "ogg"),
        ".ogg": ("ogg", "opus"),
        ".oga": ("ogg", "opus"),
        ".opus": ("opus",),
        ".m4a": ("m4a",),
        ".mp4": ("m4a",),
        ".aac": ("aac",),
        ".webm": ("webm",),
        ".3gp": ("m4a",),
        ".mov": ("m4a",),
        ".mka": ("webm",),
        ".mkv": ("webm",),
        ".amr": ("amr",),
        ".awb": ("amr",),
        ".wma": ("wma",),
        ".asf": ("wma",),
    }
)
"""Formats that a file of each ending may have."""

SUFFIXES = frozenset(_FORMATS_OF_ENDINGS)
"""Endings of recordings, in lower case."""


def misnamed(filename: str | None, original_format: VoiceSampleFormat) -> str | None:
    """Return a warning if the ending contradicts the content; unknown endings never do."""
    ending = PurePath(filename or "").suffix.lower()
    if original_format in _FORMATS_OF_ENDINGS.get(ending, VOICE_SAMPLE_FORMATS):
        return None
    return f"The file is named {ending} but is {original_format}; it was read as {original_format}."
