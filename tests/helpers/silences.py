"""Finds silence in audio by its energy."""

from __future__ import annotations

import numpy as np

BLOCK_MS = 5
QUIET = 10 ** (-45 / 20)
"""A block is silent where it is this much weaker than the loudest one, 45 dB."""


def silences(pcm: bytes, sample_rate: int) -> list[tuple[float, float]]:
    """Return start and length of each silence in milliseconds."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    size = sample_rate * BLOCK_MS // 1000
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    strength = np.sqrt((blocks**2).mean(axis=1))
    quiet = np.concatenate([[False], strength < QUIET * strength.max(), [False]])
    edges = np.flatnonzero(quiet[1:] != quiet[:-1])
    return [
        (float(start * BLOCK_MS), float((end - start) * BLOCK_MS))
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]


def longest_inside(pcm: bytes, sample_rate: int) -> float:
    """Return the length of the longest silence between the first sound and the last one, in milliseconds."""
    last = 1000 * len(pcm) / 2 / sample_rate - 2 * BLOCK_MS
    found = silences(pcm, sample_rate)
    return max((length for start, length in found if start > 0 and start + length < last), default=0.0)
