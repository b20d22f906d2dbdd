"""Read the weights of the model and the codec from a checkpoint, or make random ones.

Three layouts are supported: transformers' (config.json with safetensors, in one file or shards), the
nari-labs package's (config.json with safetensors or a .pth file), and random weights. Every problem is
reported as an EngineFailure that names the file and the tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA, CodecConfig, DiaConfig
from streaming_server.engines.dia.weights.checkpoint import Checkpoint, read_json
from streaming_server.engines.dia.weights.hub import WeightsLocation
from streaming_server.engines.dia.weights.nari import is_nari, read_nari
from streaming_server.engines.dia.weights.random_init import random_tensors, unit_gain
from streaming_server.engines.dia.weights.shapes import Shape, codec_shapes, dia_shapes, encoder_shapes


def read_dia_config(location: WeightsLocation) -> DiaConfig:
    """Read the model's config. Raises EngineFailure."""
    if location.directory is None:
        return TINY_DIA if location.name.endswith("tiny") else DiaConfig()
    return DiaConfig.parse(read_json(location.directory / "config.json"))


def read_codec_config(location: WeightsLocation) -> CodecConfig:
    """Read the codec's config. Raises EngineFailure."""
    if location.directory is None:
        return TINY_CODEC if location.name.endswith("tiny") else CodecConfig()
    return CodecConfig.parse(read_json(location.directory / "config.json"))


def read_dia(
    location: WeightsLocation, config: DiaConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return every tensor by transformers' name, on `device` in `dtype`. Raises EngineFailure."""
    shapes = dia_shapes(config)
    if location.directory is None:
        return dict(random_tensors(shapes, device, dtype))
    checkpoint = Checkpoint.open(location.directory)
    if is_nari(checkpoint):
        return read_nari(checkpoint, config, device, dtype)
    return {name: checkpoint.read(name, shape).to(device, dtype) for name, shape in shapes.items()}


def read_codec(
    location: WeightsLocation, config: CodecConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return the codec's decoder and codebooks by transformers' names, with weight norms resolved.

    Raises EngineFailure.
    """
    return _read_dac(location, codec_shapes(config), device, dtype)


def read_encoder(
    location: WeightsLocation, config: CodecConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return the codec's encoder and codebooks by transformers' names, with weight norms resolved.

    Raises EngineFailure.
    """
    codebooks = {name: shape for name, shape in codec_shapes(config).items() if name.startswith("quantizer.")}
    # Random weights depend on their index in the list, so the codebooks come first, as in the decoder's list.
    return _read_dac(location, codebooks | encoder_shapes(config), device, dtype)


def has_encoder(location: WeightsLocation) -> bool:
    """Return whether a codec's checkpoint includes an encoder. Raises EngineFailure."""
    if location.directory is None:
        return True
    checkpoint = Checkpoint.open(location.directory)
    weight = "encoder.conv1.weight"
    return weight in checkpoint or any(norm in checkpoint for _, norm in _norm_names(weight))


def _read_dac(
    location: WeightsLocation, shapes: dict[str, Shape], device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    if location.directory is None:
        return {name: unit_gain(name, tensor) for name, tensor in random_tensors(shapes, device, dtype)}
    checkpoint = Checkpoint.open(location.directory)
    return {name: _read_normed(checkpoint, name, shape).to(device, dtype) for name, shape in shapes.items()}


def _norm_names(name: str) -> tuple[tuple[str, str], ...]:
    """Return what PyTorch's two kinds of weight norm store for a weight: magnitude and direction."""
    stem = name.removesuffix(".weight")
    parametrized = f"{stem}.parametrizations.weight"
    return (
        (f"{stem}.weight_g", f"{stem}.weight_v"),
        (f"{parametrized}.original0", f"{parametrized}.original1"),
    )


def _read_normed(checkpoint: Checkpoint, name: str, shape: Shape) -> Tensor:
    """Read a weight, or compute it from its weight norm: magnitude per first axis, times direction."""
    lengths = (shape[0], *(1 for _ in shape[1:]))
    for magnitude, direction in _norm_names(name):
        if name not in checkpoint and direction in checkpoint:
            g, v = checkpoint.read(magnitude, lengths).float(), checkpoint.read(direction, shape).float()
            length: Tensor = torch.linalg.vector_norm(v.flatten(1), dim=1).view(lengths)
            return g * v / length
    return checkpoint.read(name, shape)
