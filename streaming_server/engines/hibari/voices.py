"""Several speakers from one model: what lies between its spectrum and the waveform is changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from streaming_server.engines.hibari.network import BINS, Floats, Spectrum
from streaming_server.engines.hibari.synthesis import (
    SAMPLE_RATE,
    UNVOICED_HZ,
    WINDOW,
    Noise,
    Synthesis,
    Tables,
    polar,
)

USUAL_HZ = 205.0
"""The median f0 of the model's own voice."""

LOWEST_HZ = 45.0
"""Voiced frames stay above this, so that they remain voiced."""


LOWEST_OLD_HZ = 80.0
"""The model's voice is not lower; where f0 is, it is on its way to nothing."""

BIN_HZ = SAMPLE_RATE / WINDOW


@dataclass(frozen=True, slots=True)
class Timbre:
    """A speaker, relative to the model's own.

    pitch: factor on f0. intonation: factor on f0's distance from USUAL_HZ, on a logarithmic scale. warp:
    factor on the frequencies of the vocal tract's resonances; below 1 it is longer. pace: factor on the
    speed. gain: factor on the waveform that makes all voices equally loud.
    """

    pitch: float = 1.0
    intonation: float = 1.0
    warp: float = 1.0
    pace: float = 1.0
    gain: float = 1.0


TIMBRES = MappingProxyType(
    {
        "aria": Timbre(gain=1.70),
        "atlas": Timbre(pitch=0.52, intonation=0.8, warp=0.86, pace=0.95, gain=1.92),
        "luna": Timbre(pitch=1.11, intonation=1.5, warp=0.95, gain=1.97),
        "kai": Timbre(pitch=0.62, intonation=1.1, warp=0.9, pace=1.05, gain=1.90),
        "zara": Timbre(pitch=0.78, intonation=0.85, warp=0.92, pace=0.95, gain=1.86),
        "nova": Timbre(pitch=1.24, intonation=1.1, warp=1.08, pace=1.04, gain=1.80),
    }
)

OWN = Timbre(gain=1.70)
"""A model's own voice."""


def synthesis_of(
    spectrum: Spectrum, timbre: Timbre, pitch: Floats | float, tables: Tables, noise: Noise
) -> Synthesis:
    """Return the synthesis of a spectrum as the speaker would have it.

    pitch: a further factor on f0, one for all frames or one for each.
    """
    own = (timbre.intonation, timbre.warp) == (1.0, 1.0)
    if own and isinstance(pitch, float) and timbre.pitch * pitch == 1.0:
        return Synthesis(spectrum, tables, noise)
    f0 = shaped_f0(spectrum.f0, timbre, pitch)
    shaped = replace(spectrum, f0=f0, free=_warped(spectrum.free, timbre.warp))
    return Synthesis(shaped, tables, noise, ShapedHarmonics(spectrum, f0, timbre.warp))


def shaped_f0(f0: Floats, timbre: Timbre, pitch: Floats | float) -> Floats:
    """Return the fundamental frequency with its voiced frames changed."""
    distance = np.maximum(f0, UNVOICED_HZ) / np.float32(USUAL_HZ)
    shaped = distance**timbre.intonation * (USUAL_HZ * timbre.pitch * pitch)
    return np.where(f0 > UNVOICED_HZ, np.maximum(shaped, LOWEST_HZ), f0).astype(np.float32)


class ShapedHarmonics:
    """The pulse filter for another pitch and vocal tract.

    The model's filter means something only at the harmonics of its own f0; between them it is anything. So
    each new harmonic gets its magnitude from the two old ones around the place where it would be, and its
    phase from the nearer one, and keeps them over its whole lobe.

    f0: the new one in Hz. warp: as in `Timbre`.
    """

    def __init__(self, spectrum: Spectrum, f0: Floats, warp: float) -> None:
        voiced = f0 > UNVOICED_HZ
        self._spectrum = spectrum
        self._warp = np.float32(warp)
        # Spacing of harmonics in bins. Without a voice there are no pulses to filter, so that any will do.
        self._old = np.where(voiced, np.maximum(spectrum.f0, LOWEST_OLD_HZ), USUAL_HZ)[:, None] / BIN_HZ
        self._new = np.where(voiced, f0, USUAL_HZ)[:, None] / BIN_HZ
        # Harmonics of unit amplitude stand closer at a low pitch and would make it louder.
        self._level = 0.5 * np.log(self._new / self._old)

    def __call__(self, start: int, end: int) -> NDArray[np.complex64]:
        new = self._new[start:end]
        count = int((BINS - 1) / new.min()) + 1
        filters = self._each(np.arange(1, count + 1, dtype=np.float32), start, end)
        nearest = np.rint(np.arange(BINS, dtype=np.float32) / new)
        index = np.clip(nearest, 1, count).astype(np.intp) - 1
        return np.take_along_axis(filters, index, axis=1)

    def _each(self, numbers: Floats, start: int, end: int) -> NDArray[np.complex64]:
        """Return the filter at each of the new harmonics of these numbers, [frames, harmonics]."""
        old, frame = self._old[start:end], np.arange(start, end)[:, None]
        place = numbers * self._new[start:end] / (self._warp * old)
        below = np.maximum(np.floor(place), 1)
        share = np.clip(place - below, 0, 1).astype(np.float32)
        low = np.minimum(np.rint(below * old), BINS - 1).astype(np.intp)
        high = np.minimum(np.rint((below + 1) * old), BINS - 1).astype(np.intp)
        log = self._spectrum.harmonic[low, frame]
        log += share * (self._spectrum.harmonic[high, frame] - log)
        log += self._level[start:end].astype(np.float32)
        rotation = self._spectrum.rotation[np.where(share > 0.5, high, low), frame]
        return polar(np.tanh(rotation) * np.float32(np.pi), log)


def _warped(envelopes: Floats, warp: float) -> Floats:
    """Return log magnitudes [BINS, frames] with their frequencies multiplied by `warp`."""
    if warp == 1.0:
        return envelopes
    place = np.minimum(np.arange(BINS) / warp, BINS - 1)
    below = np.minimum(place.astype(np.intp), BINS - 2)
    share = (place - below).astype(np.float32)[:, None]
    low = envelopes[below]
    warped: Floats = envelopes[below + 1]
    warped -= low
    warped *= share
    warped += low
    return warped
