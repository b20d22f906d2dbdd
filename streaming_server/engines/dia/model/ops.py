"""The operations that layers are made of, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    if x.dtype != torch.float64:
        return functional.rms_norm(x, weight.shape, weight, eps)
    # Dia normalizes in float32 whatever the dtype, so a float64 reference does too.
    single = x.float()
    single = single * torch.rsqrt(single.pow(2).mean(-1, keepdim=True) + eps)
    return weight * single.to(x.dtype)


def swiglu(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate).mul_(up)


def length_mask(lengths: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Return [B, 1, 1, width]: 0 below each length, -inf from it on."""
    beyond = torch.arange(width, device=lengths.device) >= lengths[:, None]
    return torch.zeros((), device=lengths.device, dtype=dtype).masked_fill(beyond, -torch.inf)[:, None, None]


def interleave_halves(weight: Tensor, head_width: int) -> Tensor:
    """Reorder each head's rows so that the two halves that rotary embedding pairs lie side by side.

    Queries and keys are reordered alike, so their products do not change, and a rotation becomes one
    complex product.
    """
    return weight.view(-1, 2, head_width // 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def rotary_table(
    positions: int, head_width: int, theta: float, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Return rotary embeddings as unit complex numbers, [positions, head width / 2]; angles in float32."""
    exponents = torch.arange(0, head_width, 2, dtype=torch.float32) / head_width
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * (1.0 / theta**exponents)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.complex(angles.cos().to(wide), angles.sin().to(wide)).to(device)


def rotate(x: Tensor, rotary: Tensor) -> Tensor:
    """Rotate x [..., head width] pair by pair, in float32 or better."""
    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    pairs = torch.view_as_complex(wide.view(*wide.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotary).flatten(-2).to(x.dtype)
