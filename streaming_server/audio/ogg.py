"""Opus in Ogg as it streams, by FFmpeg's encoder and muxer."""

from __future__ import annotations

from fractions import Fraction

from streaming_server.audio.frames import FrameEncoder
from streaming_server.audio.pyav import av

OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
"""Sample rates of an Opus encoder, in Hz (RFC 6716, 2.1.3). Decoders give 48 kHz."""
_PIECE_BYTES = 4096
"""Most bytes that the encoder is given at a time; its packets lie in memory until they are muxed."""


class OpusBody:
    """Encode mono 16-bit PCM at any rate; those of no Opus encoder are resampled.

    bit_rate: in bits per second. The muxer flushes every packet.
    """

    def __init__(self, sample_rate: int, bit_rate: int) -> None:
        self._encoder_rate = next(rate for rate in OPUS_RATES if rate >= sample_rate)
        self._resampler: FrameEncoder | None = None
        if self._encoder_rate != sample_rate:
            self._resampler = FrameEncoder(sample_rate, self._encoder_rate, "pcm_s16le")
        self._sink = _OggSink()
        options = {"fflags": "+bitexact+flush_packets", "page_duration": "20000"}
        self._container: av.container.OutputContainer | None = av.open(
            self._sink, "w", format="ogg", options=options
        )
        stream = self._container.add_stream(
            "libopus", rate=self._encoder_rate, options={"frame_duration": "20"}, layout="mono"
        )
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        self._stream.bit_rate = bit_rate
        self._samples = 0
        self._container.start_encoding()
        self._head = self._sink.written

    def push(self, pcm: bytes) -> bytes:
        """Return the pages that this audio completes, and the head before the first."""
        if self._resampler is not None:
            pcm = b"".join(frame.data for frame in self._resampler.push(pcm))
        self._encode(pcm)
        return self._sink.take()

    def finish(self) -> bytes:
        """Return the rest of the body."""
        if self._container is None:
            return b""
        if self._resampler is not None:
            self._encode(b"".join(frame.data for frame in self._resampler.end_utterance()))
        if self._samples:
            self._container.mux(self._stream.encode(None))
        self.close()
        return self._sink.take()

    def final_head(self) -> bytes:
        return self._head

    def close(self) -> None:
        """Free the encoder. Idempotent."""
        container, self._container = self._container, None
        if container is not None:
            container.close()
            del self._stream

    def _encode(self, pcm: bytes) -> None:
        if self._container is None:
            return
        for at in range(0, len(pcm), _PIECE_BYTES):
            piece = pcm[at : at + _PIECE_BYTES]
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece) // 2)
            frame.planes[0].update(piece)
            frame.sample_rate = self._encoder_rate
            frame.pts, frame.time_base = self._samples, Fraction(1, self._encoder_rate)
            self._samples += frame.samples
            self._container.mux(self._stream.encode(frame))


class _OggSink:
    """The file that FFmpeg writes to. It has no `seek`, so the muxer never changes what it has written."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    @property
    def written(self) -> bytes:
        """What was written since the last `take`."""
        return bytes(self._written)

    def take(self) -> bytes:
        taken = self.written
        self._written.clear()
        return taken
