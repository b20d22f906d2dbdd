"""Random weights for tests and benchmarks. They produce noise, not speech."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from streaming_server.engines.dia.weights.shapes import Shape

RANDOM_SCALE = 0.02
"""Standard deviation of random weights; transformers' initializer_range."""


def random_tensors(
    shapes: dict[str, Shape], device: torch.device, dtype: torch.dtype, seed: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """Yield random tensors in a checkpoint's shapes. Norms and snakes are ones."""
    for index, (name, shape) in enumerate(shapes.items()):
        generator = torch.Generator().manual_seed(seed * 100_003 + index)
        if name.endswith(("norm.weight", ".alpha")):
            yield name, torch.ones(shape, device=device, dtype=dtype)
        else:
            noise = torch.empty(shape, dtype=torch.float32).normal_(std=RANDOM_SCALE, generator=generator)
            yield name, noise.to(device, dtype)


def unit_gain(name: str, tensor: Tensor) -> Tensor:
    """Scale random codec weights so that noise passes the decoder neither vanishing nor clipped."""
    if name.endswith((".alpha", ".bias")):
        return tensor
    fan_in = math.prod(tensor.shape[1:]) if ".conv_t1." not in name else 2 * tensor.shape[0]
    quiet = 0.1 if name.endswith((".conv2.weight", ".codebook.weight")) else 1.0
    return tensor * (quiet / RANDOM_SCALE / math.sqrt(fan_in))
