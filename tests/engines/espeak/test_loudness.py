"""The English voices are about equally loud."""

from __future__ import annotations

import numpy as np
from helpers.espeak import Speaker
from helpers.judge import TURNS

from streaming_server.engines.espeak.voices import TIMBRES


def test_all_voices_are_about_equally_loud(speaker: Speaker) -> None:
    levels = [level(speaker.pcm(TURNS[0], voice)) for voice in TIMBRES]
    assert max(levels) - min(levels) < 2.5, levels


def level(pcm: bytes) -> float:
    """The level of what is not silence, in dB of full scale."""
    samples = np.frombuffer(pcm, "<i2") / 32768
    windows = np.sqrt((samples[: len(samples) // 441 * 441].reshape(-1, 441) ** 2).mean(axis=1))
    return float(20 * np.log10(np.sqrt((windows[windows > 0.02] ** 2).mean())))
