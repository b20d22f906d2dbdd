"""A tiny Dia with random weights, and transformers' model of the same weights to compare with."""

from __future__ import annotations

import wave

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiny_tensors():
    """Louder than a checkpoint's initial weights, so that every part of the model has a say in the logits."""
    torch = pytest.importorskip("torch")
    from streaming_server.engines.dia.model.config import TINY_DIA
    from streaming_server.engines.dia.weights.random_init import random_tensors
    from streaming_server.engines.dia.weights.shapes import dia_shapes

    noise = random_tensors(dia_shapes(TINY_DIA), torch.device("cpu"), torch.float32)
    return {name: tensor if "norm" in name else tensor * 8 for name, tensor in noise}


@pytest.fixture(scope="session")
def tiny_model(tiny_tensors):
    """dtype → the engine's model."""
    from streaming_server.engines.dia.model.config import TINY_DIA
    from streaming_server.engines.dia.model.transformer import DiaModel

    def make(dtype):
        return DiaModel(TINY_DIA, {name: tensor.to(dtype) for name, tensor in tiny_tensors.items()})

    return make


@pytest.fixture(scope="session")
def tiny_reference(tiny_tensors):
    """dtype → transformers' model."""
    transformers = pytest.importorskip("transformers")
    from streaming_server.engines.dia.model.config import TINY_DIA

    document = TINY_DIA.document()
    sections = {key: document[key] for key in ("encoder_config", "decoder_config", "delay_pattern")}

    def make(dtype):
        reference = transformers.DiaForConditionalGeneration(transformers.DiaConfig(**sections))
        reference.load_state_dict(tiny_tensors)
        return reference.to(dtype).eval()

    return make


@pytest.fixture
def recording(tmp_path):
    """name, seconds, … → the path of a 16-bit WAV file with a hum and noise in it."""

    def make(name, seconds, *, seed=0, sample_rate=44100, channels=1):
        count = round(seconds * sample_rate) * channels
        noise = np.random.default_rng(seed).normal(0, 2000, count) + 8000 * np.sin(np.arange(count) / 30)
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(sample_rate)
            file.writeframes(noise.astype("<i2").tobytes())
        return str(tmp_path / name)

    return make
