"""The file of speech that `say` writes while the text is spoken."""

from __future__ import annotations

import os
import secrets
import select
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from io import FileIO
from pathlib import Path
from types import MappingProxyType

import anyio

from streaming_server.audio.body import AudioBody, open_body
from streaming_server.audio.formats import AudioFormat
from streaming_server.errors import SpeechError

STANDARD_OUTPUT = Path("-")

PIECE_BYTES = select.PIPE_BUF - 256
"""PCM that fits, with a header, into a pipe that is writable."""

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
"""The format of a file by the ending of its name."""


class SpeechFile:
    """A file of speech that is being written; `speech_file` opens it. Call `begin` first, `finish` last.

    Calling `begin` again discards what was written, which a stream cannot do.

    out: its name in error messages. seekable: whether the header can be written again with the true length.
    is_pipe: whether it may have to be waited for.
    """

    def __init__(self, file: FileIO, out: Path, audio_format: AudioFormat, *, seekable: bool) -> None:
        self._file = file
        self._out = out
        self._format = audio_format
        self._seekable = seekable
        self._body: AudioBody | None = None
        self._sample_rate = 1
        self._samples = 0
        mode = os.fstat(file.fileno()).st_mode
        self.is_pipe = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(file.fileno())

    def begin(self, sample_rate: int) -> None:
        """Begin mono audio at this rate, in Hz.

        Raise BadValue if the format does not have it, and SpeechError if a stream has been begun before.
        """
        self._discard()
        self._body = open_body(self._format, sample_rate)
        self._sample_rate = sample_rate

    @property
    def name(self) -> str:
        """The name of the file for a message."""
        return "Standard output" if self._out == STANDARD_OUTPUT else str(self._out)

    @property
    def seconds(self) -> float:
        """Duration of what was written."""
        return self._samples / self._sample_rate

    async def until_writable(self) -> None:
        """Wait until a pipe has room for PIECE_BYTES of PCM. A file always has."""
        if self.is_pipe:
            await anyio.wait_writable(self._file)

    def write(self, pcm: bytes) -> None:
        """Write 16-bit little-endian samples. Raise SpeechError."""
        assert self._body is not None
        self._put(self._body.push(pcm))
        self._samples += len(pcm) // 2

    def finish(self) -> None:
        """Write the rest, and the true length into the header. Raise SpeechError."""
        assert self._body is not None
        self._put(self._body.finish())
        if self._seekable:
            with _file_errors(self._out):
                self._file.seek(0)
            self._put(self._body.final_head())

    def _discard(self) -> None:
        if self._body is None:
            return
        if not self._seekable and self._samples:
            raise SpeechError(
                "The server restarted, and audio already written to standard output cannot be taken back; "
                "run the command again."
            )
        self._body.close()
        if not self._samples:
            return
        self._samples = 0
        with _file_errors(self._out):
            self._file.seek(0)
            self._file.truncate()

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        with _file_errors(self._out):
            while rest:
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Free the codec."""
        if self._body is not None:
            self._body.close()


@contextmanager
def speech_file(out: Path) -> Iterator[SpeechFile]:
    """Open a file for speech, in the format of its ending, or standard output ("-"), in WAV.

    The audio goes to a temporary file beside it, which replaces it on success: an existing file stays until
    then. Raise SpeechError, at once for one that cannot be written.
    """
    if out == STANDARD_OUTPUT:
        os.set_blocking(sys.stdout.fileno(), True)  # The program that started this one may have changed it.
        # Unbuffered: when the reader has gone, nothing is left to be flushed at exit.
        with (
            open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as stream,
            closing(SpeechFile(stream, out, "wav", seekable=False)) as speech,
        ):
            yield speech
        return
    audio_format = _format_of(out)
    target = Path(os.path.realpath(out))  # A link stays one.
    unfinished = target.with_name(f".say-{secrets.token_hex(8)}.part")
    try:
        with (
            _opened(unfinished, out) as file,
            closing(SpeechFile(file, out, audio_format, seekable=True)) as speech,
        ):
            yield speech
        with _file_errors(out):
            unfinished.replace(target)
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
    with _file_errors(out):
        return unfinished.open("xb", buffering=0)


@contextmanager
def _file_errors(out: Path) -> Iterator[None]:
    """Raise SpeechError, which names the file, for errors of the operating system."""
    try:
        yield
    except OSError as error:
        raise SpeechError(f"--out {out}: {error.strerror}.") from error
