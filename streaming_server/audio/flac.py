"""FLAC as it streams, written by libsndfile.

FFmpeg's encoder takes 7 MB of memory for each stream, this one a tenth of a megabyte.
"""

from __future__ import annotations

_LEVEL = 0.0
"""libsndfile's `compression_level`, 0 to 1, with blocks of 1152 samples, each complete with the sample after
it. Higher levels make speech hardly smaller, and blocks four times as long."""
_HEAD_BYTES = len(b"fLaC") + 4 + 34
"""Bytes up to the end of STREAMINFO (RFC 9639, 8.2), which is written again at the end."""


class FlacBody:
    """Encode mono 16-bit PCM. The head comes with the first audio; without audio there is none."""

    def __init__(self, sample_rate: int) -> None:
        import soundfile

        self._sink = _FlacSink()
        self._file = soundfile.SoundFile(
            self._sink, "w", sample_rate, 1, "PCM_16", format="FLAC", compression_level=_LEVEL
        )

    def push(self, pcm: bytes) -> bytes:
        """Return the blocks that this audio completes, and the head before the first audio."""
        if pcm and not self._file.closed:
            self._file.buffer_write(pcm, "int16")
        return self._sink.take()

    def finish(self) -> bytes:
        """Return the rest of the body."""
        self.close()
        return self._sink.take()

    def final_head(self) -> bytes:
        """Return the head with the length and the checksum of the audio, after `finish`."""
        return bytes(self._sink.head)

    def close(self) -> None:
        """Free the encoder. Idempotent."""
        self._file.close()


class _FlacSink:
    """The file that libsndfile writes to. What it appends is taken; `head` also has what it changes later."""

    def __init__(self) -> None:
        self.head = bytearray()
        self._appended = bytearray()
        self._at = self._end = 0

    def write(self, data: bytes) -> int:
        if self._at < _HEAD_BYTES:
            fits = data[: _HEAD_BYTES - self._at]
            self.head[self._at : self._at + len(fits)] = fits
        if self._at == self._end:
            self._appended += data
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        """Return nothing: libsndfile asks for `read`, but what was written is gone."""
        return b""

    def take(self) -> bytes:
        """Return what was appended since the last call."""
        taken = bytes(self._appended)
        self._appended.clear()
        return taken
