"""PCM on its way to a listener: resampled, encoded and cut into frames, paced and put in containers.

Pure: no I/O and no clock of its own. numpy and soxr are imported when first needed; `warm_up` is the time
to do it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any

from streaming_server.types import Encoding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

MAX_FRAME_MS = 100
"""No frame is longer, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Frame:
    """At most MAX_FRAME_MS of one context's audio, encoded, never empty.

    first_sample: its place in the context, in samples at the output rate.
    """

    first_sample: int
    samples: int
    data: bytes | memoryview


class FrameEncoder:
    """Turns the PCM of one context's utterances into frames in the format its listener asked for.

    source_rate and sample_rate are in Hz. Frames join without gap or overlap, and their bytes put together
    depend only on the audio of each utterance, never on the pieces it came in. Nothing is held back but what
    the resampler needs: with equal rates a push gives all of its audio at once.
    """

    def __init__(self, source_rate: int, sample_rate: int, encoding: Encoding) -> None:
        self._source_rate = source_rate
        self._sample_rate = sample_rate
        self._encoding = encoding
        self._resampler: _Resampler | None = None
        self._position = 0
        self._utterance_start = 0
        if self._as_it_is:
            return
        import numpy  # noqa: F401 - now, so that the first audio does not wait for it

        if source_rate != sample_rate:
            import soxr  # noqa: F401

    @property
    def position(self) -> int:
        """Output samples so far: where the next frame begins."""
        return self._position

    def push(self, pcm: bytes) -> list[Frame]:
        """The next of the utterance, any length: mono 16-bit little-endian PCM at the source rate."""
        if not pcm:
            return []
        if self._as_it_is:
            return self._cut(pcm, len(pcm) // 2)
        if self._source_rate == self._sample_rate:
            return self._encode(_samples(pcm))
        if self._resampler is None:
            self._resampler = _Resampler(self._source_rate, self._sample_rate)
        return self._encode(self._resampler.push(_samples(pcm)))

    def end_utterance(self) -> list[Frame]:
        """What the resampler still holds. The next push begins a new utterance, untouched by this one."""
        frames = self._encode(self._resampler.finish()) if self._resampler else []
        self._resampler = None
        self._utterance_start = self._position
        return frames

    def at(self, source_sample: int) -> int:
        """Where in the output a sample of the current utterance, counted from its start, is heard.

        The sample after the utterance's last is heard where the next utterance begins.
        """
        scaled = 2 * source_sample * self._sample_rate + self._source_rate
        return self._utterance_start + scaled // (2 * self._source_rate)

    @property
    def _as_it_is(self) -> bool:
        return self._encoding == "pcm_s16le" and self._source_rate == self._sample_rate

    def _encode(self, samples: Samples) -> list[Frame]:
        return self._cut(_encoded(samples, self._encoding), len(samples)) if len(samples) else []

    def _cut(self, data: bytes, samples: int) -> list[Frame]:
        """As few frames as may be, their lengths at most one sample apart."""
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
    """Load numpy and soxr, which takes a tenth of a second, before anybody waits for them."""
    FrameEncoder(22050, 24000, "mulaw")


class _Resampler:
    """One utterance's. Works in floats: in 16-bit integers soxr dithers, differently for every chunking.

    soxr computes in blocks: at HQ it holds back up to 43 ms of speech, and 81 ms towards 8 kHz.
    """

    def __init__(self, source_rate: int, sample_rate: int) -> None:
        import soxr

        self._stream: Any = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples) -> Samples:
        return self._pass(samples, last=False)

    def finish(self) -> Samples:
        return self._pass(_samples(b""), last=True)

    def _pass(self, samples: Samples, last: bool) -> Samples:
        import numpy as np

        out: NDArray[np.float32] = self._stream.resample_chunk(samples.astype(np.float32), last)
        return np.rint(out).clip(-32768, 32767).astype(np.int16)


def _samples(pcm: bytes) -> Samples:
    import numpy as np

    return np.frombuffer(pcm, dtype="<i2")


def _encoded(samples: Samples, encoding: Encoding) -> bytes:
    """pcm_f32le is the sample divided by 32768; the rest is as `Encoding` says."""
    import numpy as np

    match encoding:
        case "pcm_s16le":
            return samples.astype("<i2", copy=False).tobytes()
        case "pcm_f32le":
            return (samples.astype("<f4") * np.float32(1 / 32768)).tobytes()
        case "mulaw":
            return _mulaw_table()[samples.astype(np.uint16)].tobytes()
        case "alaw":
            return _alaw_table()[samples.astype(np.uint16)].tobytes()


@cache
def _mulaw_table() -> NDArray[np.uint8]:
    """The ITU-T G.711 μ-law character of every 16-bit sample, indexed by the sample as an unsigned number.

    The law is defined for 14 bits: the lowest two are dropped, as SoX and Python's audioop drop them.
    """
    import numpy as np

    linear = _every_sample() >> 2
    biased = np.minimum(np.abs(linear) + 33, 8191)
    segment = np.searchsorted([64 << i for i in range(7)], biased, side="right")
    character = segment << 4 | biased >> segment + 1 & 15
    table: NDArray[np.uint8] = (character ^ np.where(linear < 0, 0x7F, 0xFF)).astype(np.uint8)
    return table


@cache
def _alaw_table() -> NDArray[np.uint8]:
    """The ITU-T G.711 A-law character of every 16-bit sample, indexed likewise.

    The law is defined for 13 bits: the lowest three are dropped.
    """
    import numpy as np

    linear = _every_sample() >> 3
    magnitude = np.where(linear < 0, ~linear, linear)
    segment = np.searchsorted([32 << i for i in range(7)], magnitude, side="right")
    character = segment << 4 | magnitude >> np.maximum(segment, 1) & 15
    table: NDArray[np.uint8] = (character ^ np.where(linear < 0, 0x55, 0xD5)).astype(np.uint8)
    return table


def _every_sample() -> NDArray[np.int64]:
    import numpy as np

    return np.arange(65536, dtype=np.uint16).astype(np.int16).astype(np.int64)


class PlaybackClock:
    """Where a listener is, in samples, given what was sent.

    Until the listener reports, it is taken to play in real time from the moment the first audio is sent, to
    stop when it runs dry and to go on at once when more is sent. From its first report on, its reports alone
    count. It is never past what was sent. `now` is in seconds of one clock that does not go back.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._sent = 0
        self._anchor_sample = 0
        self._anchor_s = 0.0
        self._reported: int | None = None

    @property
    def reported(self) -> int | None:
        """The listener's last word, in samples; None while it has said nothing."""
        return self._reported

    def sent(self, samples: int, now: float) -> None:
        """So many more samples are on their way to the listener."""
        if self.played(now) == self._sent:
            self._anchor_sample, self._anchor_s = self._sent, now
        self._sent += samples

    def played(self, now: float) -> int:
        """Samples the listener has heard."""
        if self._reported is not None:
            return self._reported
        elapsed = int((now - self._anchor_s) * self._sample_rate)
        return min(self._sent, self._anchor_sample + max(0, elapsed))

    def report(self, samples: int) -> bool:
        """The listener says that it has played so many samples of the context; whether that is news.

        The first report may correct the estimate either way; later ones that go back are passed over, and
        none counts beyond what was sent.
        """
        before = self._reported
        self._reported = min(max(samples, before or 0), self._sent)
        return self._reported != before

    def lead_s(self, now: float) -> float:
        """Seconds sent and not yet played."""
        return (self._sent - self.played(now)) / self._sample_rate

    def wait_s(self, max_lead_s: float, now: float) -> float:
        """Seconds until the lead is down to `max_lead_s`: 0 if it is, inf if that takes a report."""
        excess_s = self.lead_s(now) - max_lead_s
        if excess_s <= 0:
            return 0.0
        return excess_s if self._reported is None else inf


UNKNOWN_BYTES = 0xFFFFFFFF
"""What a WAV header says of a length not known yet; players then read on to the end of the stream."""

_WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


def wav_header(sample_rate: int, samples: int | None) -> bytes:
    """The 44 bytes before mono 16-bit PCM in a WAV file.

    samples is None for a stream whose length is not known; longer than the format can say is treated so too.
    """
    data_bytes = UNKNOWN_BYTES if samples is None else 2 * samples
    riff_bytes = data_bytes + _WAV_HEADER.size - 8
    if riff_bytes > UNKNOWN_BYTES:
        data_bytes = riff_bytes = UNKNOWN_BYTES
    byte_rate = 2 * sample_rate
    return _WAV_HEADER.pack(
        *(b"RIFF", riff_bytes, b"WAVE"),
        *(b"fmt ", 16, 1, 1, sample_rate, byte_rate, 2, 16),
        *(b"data", data_bytes),
    )
