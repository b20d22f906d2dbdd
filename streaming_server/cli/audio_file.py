"""A file of speech that is written while it is spoken."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from io import FileIO
from pathlib import Path
from types import MappingProxyType

from streaming_server.audio.formats import AudioFormat, ContainerWriter
from streaming_server.errors import SpeechError

STANDARD_OUTPUT = Path("-")

ENDINGS: Mapping[str, AudioFormat] = MappingProxyType(
    {
        ".wav": "wav",
        ".mp3": "mp3",
        ".opus": "opus",
        ".ogg": "opus",
        ".aac": "aac",
        ".flac": "flac",
        ".pcm": "pcm",
    }
)
"""What a file whose name ends so is written in."""


class SpeechFile:
    """The file while it is being written. Made by `speech_file`; everything but `begin` comes after it.

    What writes raises SpeechError. out: what it is called. head_may_change: whether the head can be written
    again once the length is known.
    """

    def __init__(self, file: FileIO, out: Path, audio_format: AudioFormat, *, head_may_change: bool) -> None:
        self._file = file
        self._out = out
        self._format = audio_format
        self._head_may_change = head_may_change
        self._writer: ContainerWriter | None = None
        self._sample_rate = 1
        self._samples = 0

    def begin(self, sample_rate: int) -> None:
        """Mono at so many Hz. Raises BadValue where the format has no such rate."""
        self._writer = ContainerWriter(self._format, sample_rate)
        self._sample_rate = sample_rate

    @property
    def seconds(self) -> float:
        """Written so far."""
        return self._samples / self._sample_rate

    def write(self, pcm: bytes) -> None:
        """16-bit little-endian samples."""
        assert self._writer is not None
        self._put(self._writer.push(pcm))
        self._samples += len(pcm) // 2

    def finish(self) -> None:
        """It is whole."""
        assert self._writer is not None
        self._put(self._writer.finish())
        if self._head_may_change:
            self._file.seek(0)
            self._put(self._writer.final_head())

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise SpeechError(f"--out {self._out}: {error.strerror}.") from error

    def close(self) -> None:
        """Frees the codec."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def speech_file(out: Path) -> Iterator[SpeechFile]:
    """The file of that name, in the format that its ending tells; standard output for "-", in WAV.

    Until nothing can fail any more, a file that was there stays. Raises SpeechError for one that cannot be
    written, before anything is spoken.
    """
    if out == STANDARD_OUTPUT:
        os.set_blocking(sys.stdout.fileno(), True)  # Whoever started this may have left it otherwise.
        # Unbuffered: where the reader has gone away, nothing is left to be flushed at the end.
        with (
            open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as stream,
            closing(SpeechFile(stream, out, "wav", head_may_change=False)) as speech,
        ):
            yield speech
        return
    audio_format = _format_of(out)
    unfinished = out.with_name(out.name + ".part")
    try:
        with (
            _opened(unfinished, out) as file,
            closing(SpeechFile(file, out, audio_format, head_may_change=True)) as speech,
        ):
            yield speech
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def _format_of(out: Path) -> AudioFormat:
    if out.is_dir():
        raise SpeechError(f"--out {out}: this is a folder; name a file.")
    if not out.parent.is_dir():
        raise SpeechError(f"--out {out}: there is no folder {out.parent}.")
    if (audio_format := ENDINGS.get(out.suffix.lower())) is None:
        raise SpeechError(f"--out {out}: the name must end in one of {', '.join(ENDINGS)}.")
    return audio_format


def _opened(unfinished: Path, out: Path) -> FileIO:
    try:
        return unfinished.open("wb", buffering=0)
    except OSError as error:
        raise SpeechError(f"--out {out}: {error.strerror}.") from error
