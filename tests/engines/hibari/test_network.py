"""The acoustic model with durations as an output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hibari import Hibari

from streaming_server.engines.hibari.network import FRAMES_PER_UNIT, Network
from streaming_server.engines.hibari.phonemes import PhonemeReader
from streaming_server.errors import EngineFailure

TEXT = "She paid $3.50 for it, did she not?"


def test_the_spectrum_equals_the_package_s(network: Network, reader: PhonemeReader) -> None:
    (phrase,) = reader.read(TEXT)
    spectrum = network.run(phrase.ids, 1.2)
    inputs = {"ids": np.array([phrase.ids]), "speed": np.array([1.2], np.float32)}
    expected = Hibari().sess.run(None, inputs)
    ours = (spectrum.harmonic, spectrum.rotation, spectrum.noise, spectrum.free, spectrum.phase, spectrum.f0)
    for mine, its in zip(ours, expected, strict=True):
        assert np.array_equal(mine, its[0])


def test_durations_add_up_to_the_spectrum(network: Network, reader: PhonemeReader) -> None:
    for phrase in reader.read("One. Two, and three! " + TEXT):
        spectrum = network.run(phrase.ids, 1.0)
        assert len(spectrum.ends) == len(phrase.ids)
        assert spectrum.ends[-1] == spectrum.frames
        assert np.all(np.diff(spectrum.ends) >= FRAMES_PER_UNIT)


def test_speed_changes_the_length(network: Network, reader: PhonemeReader) -> None:
    (phrase,) = reader.read("The committee will meet again on Tuesday to discuss the new schedule.")
    frames = [network.run(phrase.ids, speed).frames for speed in (0.5, 1.0, 2.0)]
    assert frames[0] == pytest.approx(2 * frames[1], rel=0.1)
    assert frames[2] == pytest.approx(frames[1] / 2, rel=0.15)


def test_rejects_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(EngineFailure, match="reinstall hibari-tts"):
        Network(tmp_path / "missing.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(EngineFailure, match="reinstall hibari-tts"):
        Network(tmp_path / "broken.onnx")


def test_no_telemetry_is_sent(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry would store its session in a file; there must be none."""
    program = """
from streaming_server.engines.hibari.engine import HibariEngine
HibariEngine().close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
