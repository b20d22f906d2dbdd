"""Resampling of PCM as it streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]


class Resampler:
    """Resamples one utterance, in pieces of any length, with soxr at HQ. Rates are in Hz.

    It computes in floats, since in 16-bit integers soxr dithers, differently for every way of cutting the
    audio, and in blocks: it holds back up to 43 ms of speech, and up to 81 ms towards 8 kHz.
    """

    def __init__(self, source_rate: int, sample_rate: int) -> None:
        import soxr

        self._rates = source_rate, sample_rate
        self._pushed = self._made = 0
        self._stream: Any = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples) -> Samples:
        """Return the output that these samples complete."""
        return self._resample(samples, last=False)

    def finish(self) -> Samples:
        """Return the rest of the output, so that its length in all is that of the input, rounded half up.

        soxr rounds some halves down.
        """
        import numpy as np

        rest = self._resample(np.zeros(0, np.int16), last=True)
        source_rate, sample_rate = self._rates
        missing = (2 * self._pushed * sample_rate + source_rate) // (2 * source_rate) - self._made
        return np.pad(rest, (0, missing)) if missing > 0 else rest[: len(rest) + missing]

    def _resample(self, samples: Samples, last: bool) -> Samples:
        import numpy as np

        self._pushed += len(samples)
        out: NDArray[np.float32] = self._stream.resample_chunk(samples.astype(np.float32), last)
        self._made += len(out)
        return np.rint(out).clip(-32768, 32767).astype(np.int16)
