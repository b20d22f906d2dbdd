"""Reproducible noise."""

from __future__ import annotations

import numpy as np

from streaming_server.engines.hibari.network import BINS
from streaming_server.engines.hibari.noise import NoiseTable


def test_noise_depends_on_seed_and_text_not_on_chunking() -> None:
    one, other = (NoiseTable().stream(3, "Hello.") for _ in range(2))
    pieces = np.concatenate([other(size) for size in (1, 4, 7, 3)])
    assert np.array_equal(one(15), pieces)


def test_another_seed_or_text_gives_other_noise() -> None:
    table = NoiseTable()
    noise = [table.stream(*of)(20) for of in ((3, "Hello."), (4, "Hello."), (3, "Hello!"))]
    assert not np.array_equal(noise[0], noise[1])
    assert not np.array_equal(noise[0], noise[2])


def test_noise_is_white_with_unit_variance() -> None:
    noise = NoiseTable().stream(1, "Noise.")(400)
    assert noise.shape == (400, BINS)
    for part in (noise.real, noise.imag):
        assert abs(part.mean()) < 0.02
        assert abs(part.std() - 1) < 0.02
    neighbours = np.mean(noise[1:] * noise[:-1].conj())
    assert abs(neighbours) < 0.02


def test_returned_arrays_may_be_modified() -> None:
    table = NoiseTable()
    table.stream(1, "Noise.")(4)[:] = 0
    assert np.abs(table.stream(1, "Noise.")(4)).mean() > 0.5
