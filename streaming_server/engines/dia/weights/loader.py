"""Reading the weights of the model and of the codec, from a checkpoint or at random.

Three layouts are read: transformers' (config.json with safetensors, in one file or in shards), the one of the
nari-labs package (config.json with safetensors or a .pth file), and random weights made on the spot. Whatever
is wrong is one EngineFailure that names the file and the tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA, CodecConfig, DiaConfig
from streaming_server.engines.dia.weights.checkpoint import Checkpoint, read_json
from streaming_server.engines.dia.weights.hub import Source
from streaming_server.engines.dia.weights.nari import is_native, read_native
from streaming_server.engines.dia.weights.random_init import audible, random_tensors
from streaming_server.engines.dia.weights.shapes import Shape, codec_shapes, dia_shapes, encoder_shapes


def read_dia_config(source: Source) -> DiaConfig:
    """Raises EngineFailure."""
    if source.directory is None:
        return TINY_DIA if source.name.endswith("tiny") else DiaConfig()
    return DiaConfig.parse(read_json(source.directory / "config.json"))


def read_codec_config(source: Source) -> CodecConfig:
    """Raises EngineFailure."""
    if source.directory is None:
        return TINY_CODEC if source.name.endswith("tiny") else CodecConfig()
    return CodecConfig.parse(read_json(source.directory / "config.json"))


def read_dia(
    source: Source, config: DiaConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Every tensor by transformers' name, on `device` in `dtype`. Raises EngineFailure."""
    shapes = dia_shapes(config)
    if source.directory is None:
        return dict(random_tensors(shapes, device, dtype))
    checkpoint = Checkpoint.open(source.directory)
    if is_native(checkpoint):
        return read_native(checkpoint, config, device, dtype)
    return {name: checkpoint.read(name, shape).to(device, dtype) for name, shape in shapes.items()}


def read_codec(
    source: Source, config: CodecConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The codec's decoder and codebooks by transformers' names, their weight norms resolved.

    Raises EngineFailure.
    """
    return _read_dac(source, codec_shapes(config), device, dtype)


def read_encoder(
    source: Source, config: CodecConfig, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The codec's encoder and codebooks by transformers' names, their weight norms resolved.

    Raises EngineFailure.
    """
    codebooks = {name: shape for name, shape in codec_shapes(config).items() if name.startswith("quantizer.")}
    # Random weights depend on their place in the list: the codebooks come first, as in the decoder's.
    return _read_dac(source, codebooks | encoder_shapes(config), device, dtype)


def has_encoder(source: Source) -> bool:
    """Whether a codec's checkpoint can turn sound into codes. Raises EngineFailure."""
    if source.directory is None:
        return True
    checkpoint = Checkpoint.open(source.directory)
    weight = "encoder.conv1.weight"
    return weight in checkpoint or any(norm in checkpoint for _, norm in _norm_names(weight))


def _read_dac(
    source: Source, shapes: dict[str, Shape], device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    if source.directory is None:
        return {name: audible(name, tensor) for name, tensor in random_tensors(shapes, device, dtype)}
    checkpoint = Checkpoint.open(source.directory)
    return {name: _read_normed(checkpoint, name, shape).to(device, dtype) for name, shape in shapes.items()}


def _norm_names(name: str) -> tuple[tuple[str, str], ...]:
    """What PyTorch's two kinds of weight norm store in place of a weight: magnitude and direction."""
    stem = name.removesuffix(".weight")
    parametrized = f"{stem}.parametrizations.weight"
    return (
        (f"{stem}.weight_g", f"{stem}.weight_v"),
        (f"{parametrized}.original0", f"{parametrized}.original1"),
    )


def _read_normed(checkpoint: Checkpoint, name: str, shape: Shape) -> Tensor:
    """A weight, or what its weight norm makes of it: magnitude per first axis, times the direction."""
    lengths = (shape[0], *(1 for _ in shape[1:]))
    for magnitude, direction in _norm_names(name):
        if name not in checkpoint and direction in checkpoint:
            g, v = checkpoint.read(magnitude, lengths).float(), checkpoint.read(direction, shape).float()
            length: Tensor = torch.linalg.vector_norm(v.flatten(1), dim=1).view(lengths)
            return g * v / length
    return checkpoint.read(name, shape)
