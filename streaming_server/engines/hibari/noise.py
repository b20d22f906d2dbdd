"""Noise that is the same for the same seed and text."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from streaming_server.engines.hibari.network import BINS

_SIZE = 1 << 16
"""Complex numbers in the table. Frames may share table entries within a second; this is inaudible."""


class NoiseTable:
    """Random numbers made once, since making them took half of the time of a synthesis.

    A frame of noise is a stretch of the table, and only its place is chosen anew.
    """

    def __init__(self) -> None:
        numbers = np.random.Generator(np.random.SFC64(1)).standard_normal(2 * (_SIZE + BINS), np.float32)
        self._frames = np.lib.stride_tricks.sliding_window_view(numbers.view(np.complex64), BINS)

    def stream(self, seed: int, text: str) -> NoiseStream:
        """Return the noise of an utterance."""
        digest = blake2b(f"{seed} {text}".encode(errors="surrogatepass"), digest_size=16).digest()
        return NoiseStream(self._frames, int.from_bytes(digest, "little"))


class NoiseStream:
    """Gives the next frames' noise, [frames, BINS], real and imaginary parts of unit variance."""

    def __init__(self, frames: NDArray[np.complex64], seed: int) -> None:
        self._frames = frames
        self._generator = np.random.Generator(np.random.SFC64(seed))

    def __call__(self, frames: int) -> NDArray[np.complex64]:
        places = self._generator.integers(0, _SIZE, frames, dtype=np.uint32)
        noise: NDArray[np.complex64] = self._frames[places]
        return noise
