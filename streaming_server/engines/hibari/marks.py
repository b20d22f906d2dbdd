"""Word marks from the durations of phonemes."""

from __future__ import annotations

import numpy as np

from streaming_server.engines.hibari.network import Floats, Spectrum
from streaming_server.engines.hibari.phonemes import Phrase
from streaming_server.engines.hibari.synthesis import HOP, UNVOICED_HZ
from streaming_server.engines.word_marks import share_time
from streaming_server.types import WordMark

EARLY_FRAMES = 4
"""A phoneme is heard so much before its duration begins; measured where words follow a pause."""

AUDIBLE = 3.5
"""Nepers below its loudest frame, 30 dB, at which a word is no longer heard."""

_SOME_BINS = slice(4, 240, 4)
"""80 Hz to 5 kHz: what is needed to tell sound from silence."""


def word_marks(phrase: Phrase, spectrum: Spectrum, sample: int) -> list[WordMark]:
    """Return a mark for every word of a phrase whose first frame is heard at `sample`.

    A word begins with its first phoneme. It ends with its last one or, where that runs out into a pause, with
    the last frame that can be heard.
    """
    levels = _levels(spectrum)
    marks: list[WordMark] = []
    for words in phrase.words:
        start, end = (
            max(0, int(spectrum.ends[place - 1]) - EARLY_FRAMES) for place in (words.start, words.end)
        )
        end = start + _audible(levels[start:end])
        # Words that were rewritten together share the time.
        estimated = len(words.spans) > 1
        marks += share_time(words.spans, sample + HOP * start, sample + HOP * end, estimated=estimated)
    return marks


def _levels(spectrum: Spectrum) -> Floats:
    """Return the loudness of each frame in nepers, from its strongest frequency."""
    free = spectrum.free[_SOME_BINS].max(0)
    harmonic = spectrum.harmonic[_SOME_BINS].max(0)
    levels: Floats = np.where(spectrum.f0 > UNVOICED_HZ, np.maximum(free, harmonic), free)
    return levels


def _audible(levels: Floats) -> int:
    """Return the number of frames of a word up to its last audible one."""
    heard = np.flatnonzero(levels > levels.max(initial=-np.inf) - AUDIBLE)
    return int(heard[-1]) + 1 if len(heard) else len(levels)
