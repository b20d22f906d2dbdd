"""The random weights of both sides, and what a step reads of them."""

from __future__ import annotations

import math
from typing import Final

from torch import Tensor

from streaming_server.bench.dia.plan import Plan
from streaming_server.engines.dia.model.linear import Kernel
from streaming_server.engines.dia.weights.random_init import random_tensors
from streaming_server.engines.dia.weights.shapes import dia_shapes

EIGHT_BITS: Final[tuple[Kernel, ...]] = ("int8", "float8", "converted", "converted_float8")
"""Kernels that read weights of 8 bits."""


def endless_weights(plan: Plan) -> dict[str, Tensor]:
    """Return random tensors that never produce end of audio: its row of the head is zero."""
    tensors = dict(random_tensors(dia_shapes(plan.config), plan.device, plan.dtype))
    tensors["logits_dense.weight"][plan.config.eos] = 0
    return tensors


def step_bytes(plan: Plan) -> int:
    """Return the bytes of weights that one step must read."""
    read = sum(
        math.prod(shape)
        for name, shape in dia_shapes(plan.config).items()
        if ".encoder." not in name
        and "embed" not in name
        and not ("cross_attention" in name and (".k_proj" in name or ".v_proj" in name))
    )
    return int(read * (1 if plan.matmul in EIGHT_BITS else plan.dtype.itemsize))
