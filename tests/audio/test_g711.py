"""The characters of G.711."""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np
import pytest

from streaming_server.audio.g711 import alaw, mulaw
from streaming_server.types import Encoding


def encoded(linear: list[int] | range, encoding: Encoding) -> bytes:
    law = mulaw if encoding == "mulaw" else alaw
    return law(np.array(linear, dtype="<i2")).tobytes()


def test_mulaw_matches_the_table() -> None:
    """Decision values of G.711, table 2 (14 bits), as 16-bit samples; each begins an interval."""
    decisions = [0, 1, 3, 31, 35, 95, 103, 223, 239, 479, 511, 991, 1055, 2015, 2143, 4063, 4319, 7903]
    characters = [0xFF, 0xFE, 0xFD, 0xEF, 0xEE, 0xDF, 0xDE, 0xCF, 0xCE, 0xBF, 0xBE]
    characters += [0xAF, 0xAE, 0x9F, 0x9E, 0x8F, 0x8E, 0x80]
    assert list(encoded([4 * value for value in decisions], "mulaw")) == characters
    negative = [c - 0x80 for c in characters]
    assert list(encoded([-4 * value for value in decisions[1:]], "mulaw")) == negative[1:]
    assert list(encoded([32767, -32768], "mulaw")) == [0x80, 0x00]


def test_alaw_matches_the_table() -> None:
    """Decision values of G.711, table 1 (13 bits), as 16-bit samples; each begins an interval."""
    decisions = [0, 2, 4, 32, 64, 68, 128, 136, 256, 272, 512, 544, 1024, 1088, 2048, 2176, 3968]
    plain = [0x80, 0x81, 0x82, 0x90, 0xA0, 0xA1, 0xB0, 0xB1, 0xC0, 0xC1, 0xD0, 0xD1]
    plain += [0xE0, 0xE1, 0xF0, 0xF1, 0xFF]
    assert list(encoded([8 * value for value in decisions], "alaw")) == [c ^ 0x55 for c in plain]
    assert list(encoded([~(8 * value) for value in decisions], "alaw")) == [c ^ 0xD5 for c in plain]
    assert list(encoded([32767, -32768], "alaw")) == [0xAA, 0x2A]


@pytest.fixture
def audioop() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module: ModuleType = pytest.importorskip("audioop", reason="gone from Python 3.13 on")
    return module


def test_every_sample_is_encoded_as_by_audioop(audioop: ModuleType) -> None:
    every = range(-32768, 32768)
    pcm = np.array(every, dtype="<i2").tobytes()
    assert encoded(every, "mulaw") == audioop.lin2ulaw(pcm, 2)
    assert encoded(every, "alaw") == audioop.lin2alaw(pcm, 2)
