"""Streaming signal processing: pieces of any size equal the package's whole output."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest
from hibari import dsp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streaming_server.engines.hibari.network import BINS, Network, Spectrum
from streaming_server.engines.hibari.phonemes import PhonemeReader
from streaming_server.engines.hibari.synthesis import HOP, Synthesis, Tables

TEXTS = ("Hi.", "She sells sea shells, by the sea shore.")


class Recorded:
    """Replays recorded noise, by frames or, for the package, all at once."""

    def __init__(self, frames: int) -> None:
        generator = np.random.default_rng(7)
        self._noise = generator.standard_normal((frames, 2 * BINS), np.float32).view(np.complex64)
        self._at = 0

    def __call__(self, frames: int) -> NDArray[np.complex64]:
        self._at += frames
        return self._noise[self._at - frames : self._at].copy()

    def standard_normal(self, size: tuple[int, int], dtype: type) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._noise.T).view(np.float32).reshape(size)


def by_the_package(spectrum: Spectrum) -> NDArray[np.float32]:
    return dsp.synth(
        spectrum.harmonic,
        spectrum.rotation,
        spectrum.noise,
        spectrum.free,
        spectrum.phase,
        spectrum.f0,
        Recorded(spectrum.frames),
    )


def in_pieces(spectrum: Spectrum, sizes: list[int]) -> list[NDArray[np.float32]]:
    synthesis = Synthesis(spectrum, Tables(), Recorded(spectrum.frames))
    pieces = []
    for size in cycle(sizes):
        if synthesis.finished:
            return pieces
        pieces.append(synthesis.read(size))
    raise AssertionError("sizes is empty")


@pytest.fixture(scope="module", params=TEXTS)
def spectrum(request: pytest.FixtureRequest, network: Network, reader: PhonemeReader) -> Spectrum:
    (phrase,) = reader.read(request.param)
    return network.run(phrase.ids, 1.0)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_pieces_of_one_size_equal_the_package_s_output(spectrum: Spectrum, size: int) -> None:
    whole = np.concatenate(in_pieces(spectrum, [size]))
    expected = by_the_package(spectrum)
    assert np.abs(expected).max() > 0.1
    assert whole.shape == expected.shape
    assert np.abs(whole - expected).max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_pieces_of_any_sizes_equal_the_package_s_output(spectrum: Spectrum, sizes: list[int]) -> None:
    whole = np.concatenate(in_pieces(spectrum, sizes))
    assert np.abs(whole - by_the_package(spectrum)).max() < 1e-5


def test_audio_is_returned_as_soon_as_its_frames_are_pushed(spectrum: Spectrum) -> None:
    first, second, *_ = in_pieces(spectrum, [10])
    assert len(first) == 8 * HOP
    assert len(second) == 10 * HOP
