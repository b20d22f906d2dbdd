"""Encodes an engine's PCM as a listener requested it: sample rate, speed, encoding and container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from anyio import CapacityLimiter

from streaming_server.audio.coder import Coder, in_thread
from streaming_server.audio.formats import AudioFormat, is_coded
from streaming_server.audio.frames import Frame, FrameEncoder
from streaming_server.audio.tempo import Tempo
from streaming_server.audio.wav import wav_header
from streaming_server.types import FLOW_WINDOW, SAMPLE_BYTES, Encoding

PIECE_BYTES = 24 * 1024
"""Most bytes of audio, before any container, that are encoded and given to a listener at a time."""

_WINDOW_DIVISORS: Mapping[AudioFormat, int] = MappingProxyType({"aac": 4, "opus": 2})
"""Divisors of the flow window: AAC's encoder takes 730 KiB, Opus's 250 with what resamples to 48 kHz."""


@dataclass(frozen=True, slots=True)
class AudioOptions:
    """The audio that a listener requested; always mono.

    sample_rate: Hz; None for the engine's own. encoding: of the samples, for the formats `pcm` and `wav`; the
    others are coded. bit_rate: bits per second, for coded formats.
    """

    sample_rate: int | None = None
    encoding: Encoding = "pcm_s16le"
    format: AudioFormat = "pcm"
    bit_rate: int | None = None

    @property
    def window(self) -> int:
        """Bytes that an utterance may be ahead of its listener: fewer beside the larger encoders, so that one
        that does not read costs less than a megabyte.
        """
        return FLOW_WINDOW // _WINDOW_DIVISORS.get(self.format, 1)


class SpeechEncoder:
    """Encode the utterances of one context for one listener.

    source_rate: Hz of the PCM that is pushed. threads: bounds the threads that stretch and code; resampling
    and encoding samples take less time than a thread switch and stay on the event loop.

    The bytes of all frames, put together, depend only on the utterances, not on the pieces they came in. A
    coded or WAV body begins with the first frame that has data. Not for two tasks at once.
    """

    def __init__(
        self,
        source_rate: int,
        options: AudioOptions,
        *,
        threads: CapacityLimiter,
    ) -> None:
        self.sample_rate = options.sample_rate or source_rate
        self._encoding: Encoding = "pcm_s16le" if is_coded(options.format) else options.encoding
        self._speed = 1.0
        self._threads = threads
        self._growth = self.sample_rate / source_rate * SAMPLE_BYTES[self._encoding] / 2
        self._resampler = FrameEncoder(source_rate, self.sample_rate, "pcm_s16le")
        self._tempo: Tempo | None = None
        self._plain = FrameEncoder(source_rate, self.sample_rate, self._encoding)
        self._stretched = FrameEncoder(self.sample_rate, self.sample_rate, self._encoding)
        self._frames = self._plain
        self._head = wav_header(self.sample_rate, encoding=self._encoding) if options.format == "wav" else b""
        self._coder: Coder | None = None
        self._coded_to = 0
        if is_coded(options.format):
            self._coder = Coder(options.format, self.sample_rate, threads, bit_rate=options.bit_rate)

    def pieces(self, pcm: bytes) -> Iterator[bytes]:
        """Cut PCM at the source rate into pieces, each of which becomes at most PIECE_BYTES or so.

        Bounds the memory that a slow listener holds, for every rate, speed and encoding.
        """
        piece = max(1, int(PIECE_BYTES / self._growth * self._speed / 2)) * 2
        for at in range(0, len(pcm), piece):
            yield pcm[at : at + piece]

    def set_speed(self, speed: float) -> None:
        """Set how much faster than its PCM the utterance is heard, 0.25 to 4, at the same pitch.

        Call it before the first push of the utterance; without it the speed is 1. Idempotent.
        """
        if speed != self._speed:
            self._speed = speed
            self._continue_with(self._plain if speed == 1.0 else self._stretched)

    @property
    def position(self) -> int:
        """Samples encoded so far, at `sample_rate`."""
        return self._frames.position

    def at(self, source_sample: int) -> int:
        """Map a sample of the current utterance at the source rate to its place in the context's output."""
        if self._speed == 1.0:
            return self._frames.at(source_sample)
        resampled = self._resampler.at(source_sample) - self._resampler.at(0)
        return self._frames.at(round(resampled / self._speed))

    async def push(self, pcm: bytes) -> list[Frame]:
        """Encode the next piece of the utterance: mono 16-bit PCM at the source rate."""
        if self._speed == 1.0:
            return await self._contain(self._frames.push(pcm))
        return await self._stretch(self._resampler.push(pcm), last=False)

    async def end_utterance(self) -> list[Frame]:
        """Return what the stages still hold of the utterance. The next push begins another one."""
        if self._speed == 1.0:
            return await self._contain(self._frames.end_utterance())
        frames = await self._stretch(self._resampler.end_utterance(), last=True)
        self._frames.end_utterance()
        self.set_speed(1.0)
        return frames

    async def finish(self) -> list[Frame]:
        """Return what a codec still holds, after the last utterance. Without any audio there is no body."""
        if self._coder is None or not self.position:
            return []
        return await self._coded(await self._coder.finish())

    def final_head(self) -> bytes:
        """Return the first bytes of the body with its true length, to write over its head; maybe none."""
        if self._coder is not None:
            return self._coder.final_head()
        return wav_header(self.sample_rate, self.position, self._encoding) if self._head else b""

    def close(self) -> None:
        """Free the codec. Idempotent."""
        if self._coder is not None:
            self._coder.close()

    def _continue_with(self, frames: FrameEncoder) -> None:
        frames.begin_at(self.position)
        self._frames = frames

    async def _stretch(self, frames: list[Frame], *, last: bool) -> list[Frame]:
        pcm = b"".join(frame.data for frame in frames)
        if not pcm and (self._tempo is None or not last):
            return []
        pcm = await in_thread(partial(self._stretched_pcm, pcm, last=last), self._threads)
        return await self._contain(self._frames.push(pcm))

    def _stretched_pcm(self, pcm: bytes, *, last: bool) -> bytes:
        """Change the tempo of a piece. To be called in a thread: the first time, it imports PyAV."""
        if self._tempo is None:
            self._tempo = Tempo(self.sample_rate, self._speed)
        stretched = self._tempo.push(pcm)
        if last:
            stretched += self._tempo.finish()
            self._tempo = None
        return stretched

    async def _contain(self, frames: list[Frame]) -> list[Frame]:
        """Put frames into the container, if there is one."""
        if self._coder is not None:
            return await self._coded(await self._coder.push(_joined(frames))) if frames else []
        if frames and self._head and not frames[0].first_sample:
            first = frames[0]
            return [Frame(0, first.samples, self._head + bytes(first.data)), *frames[1:]]
        return frames

    async def _coded(self, data: bytes) -> list[Frame]:
        """Return one frame of coded bytes, covering the samples encoded since the last one."""
        if not data:
            return []
        first, self._coded_to = self._coded_to, self.position
        return [Frame(first, self._coded_to - first, data)]


def _joined(frames: list[Frame]) -> bytes:
    return bytes(frames[0].data) if len(frames) == 1 else b"".join(frame.data for frame in frames)
