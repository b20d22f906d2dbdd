"""The English voices are understood by Whisper, and are equally loud."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.espeak import Speaker
from helpers.judge import SENTENCES, Judge, rate

from streaming_server.engines.espeak.voices import TIMBRES

pytestmark = pytest.mark.slow

SAMPLE_RATE = 22050
WORST = 0.2


@pytest.fixture(scope="module")
def judge() -> Judge:
    pytest.importorskip("faster_whisper")
    return Judge()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("voice", TIMBRES)
def test_every_voice_is_understood(speaker: Speaker, judge: Judge, voice: str) -> None:
    heard = [judge.errors(text, speaker.pcm(text, voice), SAMPLE_RATE) for text in SENTENCES]
    assert sum(words for _, words in heard) > 200
    assert rate(heard) <= WORST, heard


def test_all_voices_are_about_equally_loud(speaker: Speaker) -> None:
    levels = [level(speaker.pcm(" ".join(SENTENCES[:3]), voice)) for voice in TIMBRES]
    assert max(levels) - min(levels) < 2.5, levels


def level(pcm: bytes) -> float:
    """The level of what is not silence, in dB of full scale."""
    samples = np.frombuffer(pcm, "<i2") / 32768
    windows = np.sqrt((samples[: len(samples) // 441 * 441].reshape(-1, 441) ** 2).mean(axis=1))
    return float(20 * np.log10(np.sqrt((windows[windows > 0.02] ** 2).mean())))
