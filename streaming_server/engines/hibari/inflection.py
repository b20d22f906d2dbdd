"""Changes of speed and pitch within a phrase, made between the model and the waveform.

The model speaks the phrase as a whole, so that its melody is that of one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaming_server.engines.hibari.marks import EARLY_FRAMES
from streaming_server.engines.hibari.network import Floats, Spectrum
from streaming_server.engines.hibari.phonemes import Phrase
from streaming_server.engines.hibari.synthesis import UNVOICED_HZ
from streaming_server.types import ProsodySpan

GLIDE_FRAMES = 5
"""Frames over which the pitch changes at the edge of a part: 60 ms, so that it glides and does not jump."""


def inflected(
    spectrum: Spectrum, phrase: Phrase, spans: Sequence[ProsodySpan]
) -> tuple[Spectrum, Floats | float]:
    """Return the spectrum with the speeds of `spans`, and the factor on the pitch of each of its frames."""
    speeds, pitches = _factors(spectrum, phrase, spans)
    if (speeds != 1.0).any():
        clock = np.concatenate([[0.0], np.cumsum(1.0 / speeds)])
        places = _places(clock)
        spectrum = _stretched(spectrum, clock, places)
        pitches = pitches[np.rint(places).astype(np.intp)]
    if (pitches == 1.0).all():
        return spectrum, 1.0
    edge = GLIDE_FRAMES // 2
    glide = np.convolve(np.pad(pitches, edge, mode="edge"), np.full(GLIDE_FRAMES, 1 / GLIDE_FRAMES), "valid")
    return spectrum, glide.astype(np.float32)


def _factors(
    spectrum: Spectrum, phrase: Phrase, spans: Sequence[ProsodySpan]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the factors on speed and pitch of each frame. A word has those of the part where it begins."""
    speeds, pitches = np.ones(spectrum.frames), np.ones(spectrum.frames)
    for words in phrase.words:
        begin = words.spans[0][0]
        for span in spans:
            if span.start <= begin < span.end:
                start, end = (
                    max(0, int(spectrum.ends[place - 1]) - EARLY_FRAMES) for place in (words.start, words.end)
                )
                speeds[start:end], pitches[start:end] = span.speed, span.pitch
    return speeds, pitches


def _places(clock: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where each frame of the stretched spectrum is taken from, as fractions of the old frames.

    clock: when each old frame begins, and the last one ends, in new frames.
    """
    frames = len(clock) - 1
    centres = np.arange(max(1, round(clock[-1]))) + 0.5
    return np.clip(np.interp(centres, clock, np.arange(frames + 1)) - 0.5, 0, frames - 1)


def _stretched(spectrum: Spectrum, clock: NDArray[np.float64], places: NDArray[np.float64]) -> Spectrum:
    low = np.floor(places).astype(np.intp)
    high = np.minimum(low + 1, spectrum.frames - 1)
    nearest = np.rint(places).astype(np.intp)
    share = (places - low).astype(np.float32)

    def between(values: Floats) -> Floats:
        mixed: Floats = values[..., low] + share * (values[..., high] - values[..., low])
        return mixed

    f0 = spectrum.f0
    voiced = (f0[low] > UNVOICED_HZ) & (f0[high] > UNVOICED_HZ)
    heard = np.interp(spectrum.ends - EARLY_FRAMES, np.arange(spectrum.frames + 1), clock)
    return Spectrum(
        between(spectrum.harmonic),
        spectrum.rotation[:, nearest],
        between(spectrum.noise),
        between(spectrum.free),
        spectrum.phase[:, nearest],
        np.where(voiced, between(f0), f0[nearest]),
        np.rint(heard).astype(np.int64) + EARLY_FRAMES,
    )
