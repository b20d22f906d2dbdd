"""A tiny Dia with random weights, and transformers' model of the same weights to compare it with."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _one_thread():
    """Small tensors are slower on many threads, and the machine may be shared."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_tensors():
    """Louder than a checkpoint's initial weights, so that every part of the model has a say in the logits."""
    torch = pytest.importorskip("torch")
    from streaming_server.engines.dia.config import TINY_DIA
    from streaming_server.engines.dia.weights import dia_shapes, random_tensors

    noise = random_tensors(dia_shapes(TINY_DIA), torch.device("cpu"), torch.float32)
    return {name: tensor if "norm" in name else tensor * 8 for name, tensor in noise}


@pytest.fixture(scope="session")
def tiny_model(tiny_tensors):
    """dtype → the engine's model."""
    from streaming_server.engines.dia.config import TINY_DIA
    from streaming_server.engines.dia.model import DiaModel

    def make(dtype):
        return DiaModel(TINY_DIA, {name: tensor.to(dtype) for name, tensor in tiny_tensors.items()})

    return make


@pytest.fixture(scope="session")
def tiny_reference(tiny_tensors):
    """dtype → transformers' model."""
    transformers = pytest.importorskip("transformers")
    from streaming_server.engines.dia.config import TINY_DIA

    document = TINY_DIA.document()
    sections = {key: document[key] for key in ("encoder_config", "decoder_config", "delay_pattern")}

    def make(dtype):
        reference = transformers.DiaForConditionalGeneration(transformers.DiaConfig(**sections))
        reference.load_state_dict(tiny_tensors)
        return reference.to(dtype).eval()

    return make
