"""Correct the chunk sizes of WAV, RF64, Wave64, AIFF and CAF files to what the file holds.

A program that streams a recording writes the header before it knows the length, and leaves 0 or some huge
number there. FFmpeg accepts some of these and rejects others; a missing pad byte always stops it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PLACEHOLDER = 1_900_000_000
"""A size of this many bytes or more that the file does not hold is a placeholder, not a sign of a cut."""

_MOST_CHUNKS = 1_000


@dataclass(frozen=True, slots=True)
class _Layout:
    """Layout of the sizes in a container, in bytes.

    first: offset of the first chunk. sound: name of the chunk that holds the audio. order, width: byte order
    and width of a size. alignment: of every chunk. head_counts: whether a chunk's size includes its name and
    size field. overhead: size of an audio chunk without audio. total_at: offset of the file's size, which
    leaves out total_less bytes.
    """

    first: int
    sound: bytes
    order: Literal["little", "big"]
    width: int = 4
    alignment: int = 2
    head_counts: bool = False
    overhead: int = 0
    total_at: int | None = 4
    total_less: int = 8


_WAV = _Layout(12, b"data", "little")
_RF64 = _Layout(12, b"data", "little", total_at=None)
_W64 = _Layout(
    first=40,
    sound=b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a",
    order="little",
    width=8,
    alignment=8,
    head_counts=True,
    overhead=24,
    total_at=16,
    total_less=0,
)
_AIFF = _Layout(12, b"SSND", "big", overhead=8)
_CAF = _Layout(8, b"data", "big", width=8, alignment=1, overhead=4, total_at=None)


def _layout_of(head: bytes | bytearray) -> _Layout | None:
    match bytes(head[:4]), bytes(head[8:12]):
        case b"RIFF", b"WAVE":
            return _WAV
        case b"RF64", b"WAVE":
            return _RF64
        case b"riff", _:
            return _W64
        case b"FORM", b"AIFF" | b"AIFC":
            return _AIFF
        case b"caff", _:
            return _CAF
    return None


def is_chunked(head: bytes) -> bool:
    """Return whether `correct_sizes` supports a file that begins with these 12 bytes."""
    return _layout_of(head) is not None


def correct_sizes(file: bytearray) -> bool:
    """Correct the sizes in place, and insert missing pad bytes; return whether the recording was cut off.

    The size of the audio is clamped to what follows it, or set to that where it was never filled in. A file
    in which no audio is found is left alone.
    """
    layout = _layout_of(file)
    if layout is None:
        return False
    at, ds64 = layout.first, None
    for _ in range(_MOST_CHUNKS):
        size_at = at + len(layout.sound)
        content = size_at + layout.width
        if content > len(file):
            return False
        name, size = bytes(file[at:size_at]), _read(file, layout, size_at, layout.width)
        if name == layout.sound:
            return _correct_sound(file, layout, at, ds64)
        if name == b"ds64":
            ds64 = content
        elif name == b"COMM":
            file[content + 2 : content + 6] = bytes(4)  # The number of frames; FFmpeg counts them instead.
        end = (at if layout.head_counts else content) + size
        at = end + -end % layout.alignment
        if at == end + 1 and end < len(file) and file[end]:
            file.insert(end, 0)
    return False


def _correct_sound(file: bytearray, layout: _Layout, at: int, ds64: int | None) -> bool:
    size_at = at + len(layout.sound)
    content = size_at + layout.width
    there = len(file) - (at if layout.head_counts else content)
    size_fields = [(size_at, layout.width)] + ([(ds64 + 8, 8)] if ds64 is not None else [])
    claimed = _read(file, layout, *size_fields[-1])
    if claimed <= layout.overhead and _is_finished(file, layout):
        del file[content + layout.overhead :]  # FFmpeg would take whatever follows for audio.
        return False
    if claimed <= layout.overhead or claimed > there:
        for offset, width in size_fields:
            _write(file, layout, offset, width, there)
    if layout.total_at is not None:
        _write(file, layout, layout.total_at, layout.width, len(file) - layout.total_less)
    return there + 1 < claimed < PLACEHOLDER


def _is_finished(file: bytearray, layout: _Layout) -> bool:
    """Return whether the header holds the size of the whole file, as in a complete recording."""
    if layout.total_at is None:
        return False
    return _read(file, layout, layout.total_at, layout.width) + layout.total_less == len(file)


def _read(file: bytearray, layout: _Layout, at: int, width: int) -> int:
    return int.from_bytes(file[at : at + width], layout.order)


def _write(file: bytearray, layout: _Layout, at: int, width: int, value: int) -> None:
    file[at : at + width] = value.to_bytes(width, layout.order)
