"""Frames: pieces of a context's audio, resampled, encoded and cut for its listener.

Pure: no I/O and no clock. numpy and soxr are imported when first needed, or by `warm_up`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from streaming_server.audio.g711 import alaw, mulaw
from streaming_server.audio.resampler import Resampler
from streaming_server.types import Encoding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

MAX_FRAME_MS = 100
"""Longest frame, in milliseconds."""

FRAME_HEADER = struct.Struct("<BBHIQ")
"""Header of a binary message on the native websocket: kind, flags, handle, sequence and first sample."""

AUDIO_KIND = 1
"""The kind of a binary message that carries audio."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Encoded audio of one context: at most MAX_FRAME_MS of it, never empty.

    first_sample: its position in the context, in samples at the output rate.
    """

    first_sample: int
    samples: int
    data: bytes | memoryview


class FrameEncoder:
    """Turns the PCM of a context's utterances into frames of the rate and encoding that its listener wants.

    source_rate, sample_rate: in Hz. Frames join without gap or overlap, and their bytes depend only on the
    audio of each utterance, not on the pieces it came in. With equal rates a push returns all of its audio;
    otherwise the resampler holds some back.
    """

    def __init__(self, source_rate: int, sample_rate: int, encoding: Encoding) -> None:
        self._source_rate = source_rate
        self._sample_rate = sample_rate
        self._encoding = encoding
        self._resampler: Resampler | None = None
        self._position = 0
        self._utterance_start = 0
        if self._passes_through:
            return
        import numpy  # noqa: F401 - now, so that the first audio does not wait for it

        if source_rate != sample_rate:
            import soxr  # noqa: F401

    @property
    def position(self) -> int:
        """Number of output samples so far, which is where the next frame begins."""
        return self._position

    def push(self, pcm: bytes) -> list[Frame]:
        """Encode the next piece of the utterance: mono 16-bit little-endian PCM at the source rate."""
        if not pcm:
            return []
        if self._passes_through:
            return self._cut(pcm, len(pcm) // 2)
        if self._source_rate == self._sample_rate:
            return self._encode(_samples(pcm))
        if self._resampler is None:
            self._resampler = Resampler(self._source_rate, self._sample_rate)
        return self._encode(self._resampler.push(_samples(pcm)))

    def begin_at(self, position: int) -> None:
        """Have the next utterance begin at an output position."""
        self._position = self._utterance_start = position

    def end_utterance(self) -> list[Frame]:
        """Return what the resampler still holds. The next push begins a new utterance."""
        frames = self._encode(self._resampler.finish()) if self._resampler else []
        self._resampler = None
        self._utterance_start = self._position
        return frames

    def at(self, source_sample: int) -> int:
        """Return the output position of a sample of the current utterance, counted from its start.

        The sample after the utterance's last is where the next utterance begins.
        """
        scaled = 2 * source_sample * self._sample_rate + self._source_rate
        return self._utterance_start + scaled // (2 * self._source_rate)

    @property
    def _passes_through(self) -> bool:
        return self._encoding == "pcm_s16le" and self._source_rate == self._sample_rate

    def _encode(self, samples: Samples) -> list[Frame]:
        return self._cut(_encoded(samples, self._encoding), len(samples)) if len(samples) else []

    def _cut(self, data: bytes, samples: int) -> list[Frame]:
        """Cut into as few frames as possible, whose lengths differ by one sample at most."""
        first = self._position
        self._position += samples
        count = -(-samples // (self._sample_rate * MAX_FRAME_MS // 1000))
        if count == 1:
            return [Frame(first, samples, data)]
        width = len(data) // samples
        view = memoryview(data)
        cuts = [samples * i // count for i in range(count + 1)]
        return [
            Frame(first + start, end - start, view[start * width : end * width])
            for start, end in pairwise(cuts)
        ]


def warm_up() -> None:
    """Import numpy and soxr in advance, which takes a tenth of a second."""
    FrameEncoder(22050, 24000, "mulaw")


def _samples(pcm: bytes) -> Samples:
    import numpy as np

    return np.frombuffer(pcm, dtype="<i2")


def _encoded(samples: Samples, encoding: Encoding) -> bytes:
    """Encode the samples; in pcm_f32le a sample is divided by 32768."""
    import numpy as np

    match encoding:
        case "pcm_s16le":
            return samples.astype("<i2", copy=False).tobytes()
        case "pcm_f32le":
            return (samples.astype("<f4") * np.float32(1 / 32768)).tobytes()
        case "mulaw":
            return mulaw(samples).tobytes()
        case "alaw":
            return alaw(samples).tobytes()
