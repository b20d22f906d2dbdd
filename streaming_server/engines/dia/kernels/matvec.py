"""Products of a matrix with one to four rows: as fast as the weights can be read.

A program keeps all weights of a few outputs in registers. Where kernels can start early it loads them while
the kernel before it, whose result it multiplies, still runs. What comes before and after a product is cheaper
to repeat in every program than to launch: the sum and norm of its inputs, and SiLU.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from streaming_server.engines.dia.kernels import launch

_WEIGHTS = 16384
"""Weights of a program: 64 registers of each thread, in 16 bits."""

_LARGE = 2**23
"""Beyond this many weights cuBLAS is as fast with more than two rows."""


def is_fast(rows: int, weight: Tensor) -> bool:
    """Return whether `multiply` beats cuBLAS, as measured on an H200 with the published dimensions."""
    return rows <= (2 if weight.numel() > _LARGE else 4)


@triton.jit
def _matvec_kernel(
    x,
    added,
    constant,
    norm,
    weight,
    out,
    summed,
    outputs,
    inputs,
    eps,
    ROWS: tl.constexpr,
    EVERY: tl.constexpr,
    NORM: tl.constexpr,
    CONSTANT: tl.constexpr,
    GATED: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    if OVERLAP:
        launch.let_next_start()
    n = tl.program_id(0) * N + tl.arange(0, N)
    k = tl.arange(0, K)
    inside, known = n < outputs, k < inputs
    place = weight + n[:, None] * inputs + k[None, :]
    present = inside[:, None] & known[None, :]
    weights = tl.load(place, mask=present, other=0.0)
    if GATED:
        ups = tl.load(place + outputs * inputs, mask=present, other=0.0)
    if NORM:
        scale = tl.load(norm + k, mask=known, other=0.0).to(tl.float32)
    if OVERLAP:
        launch.wait_for_previous()
    for row in tl.static_range(ROWS):
        values = tl.load(x + row * inputs + k, mask=known, other=0.0)
        if NORM:
            if not CONSTANT:
                more = tl.load(added + row * inputs + k, mask=known, other=0.0)
            elif row % 2 == 1:
                more = tl.load(constant + k, mask=known, other=0.0)
            else:
                more = tl.load(added + row // 2 * inputs + k, mask=known, other=0.0)
            values = (values.to(tl.float32) + more.to(tl.float32)).to(x.dtype.element_ty)
            if tl.program_id(0) == 0:
                tl.store(summed + row * inputs + k, values, mask=known)
            wide = values.to(tl.float32)
            wide = wide * tl.rsqrt(tl.sum(wide * wide, 0) / inputs + eps) * scale
            values = wide.to(x.dtype.element_ty)
        if row % EVERY == 0:
            total = tl.sum(weights.to(tl.float32) * values.to(tl.float32)[None, :], 1)
            if GATED:
                gate = total.to(out.dtype.element_ty).to(tl.float32)
                up = tl.sum(ups.to(tl.float32) * values.to(tl.float32)[None, :], 1)
                total = gate / (1.0 + tl.exp(-gate)) * up.to(out.dtype.element_ty).to(tl.float32)
            tl.store(out + row // EVERY * outputs + n, total.to(out.dtype.element_ty), mask=inside)


def multiply(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ, [..., outputs]. x: [..., inputs], contiguous, of few rows. weight: [outputs, inputs]."""
    out = x.new_empty(*x.shape[:-1], weight.shape[0])
    _launch(x, x, x, x, weight, out, x, 0.0, every=1, norm=False, constant_rows=False, gated=False)
    return out


def add_norm_multiply(
    x: Tensor,
    added: Tensor,
    norm: Tensor,
    weight: Tensor,
    eps: float,
    *,
    constant: Tensor | None = None,
    conditional: bool = False,
    gated: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return x + added and its RMS norm multiplied by Wᵀ, as `add_rms_norm`, a product and `silu_mul` do.

    x: [B, 2, inputs]. norm: [inputs]. conditional: multiply the conditional rows only. constant: [inputs],
    added to the unconditional rows; `added` is then [B, 1, inputs]. gated: return silu(gate) × up of the
    product, whose outputs are those of the gate and then those that it lets pass.
    """
    count, branches, _ = x.shape
    outputs = weight.shape[0] // 2 if gated else weight.shape[0]
    out = x.new_empty(count, 1 if conditional else branches, outputs)
    summed = torch.empty_like(x)
    _launch(
        x,
        added,
        x if constant is None else constant,
        norm,
        weight,
        out,
        summed,
        eps,
        every=branches if conditional else 1,
        norm=True,
        constant_rows=constant is not None,
        gated=gated,
    )
    return summed, out


def _launch(
    x: Tensor,
    added: Tensor,
    constant: Tensor,
    scale: Tensor,
    weight: Tensor,
    out: Tensor,
    summed: Tensor,
    eps: float,
    *,
    every: int,
    norm: bool,
    constant_rows: bool,
    gated: bool,
) -> None:
    outputs, inputs = out.shape[-1], weight.shape[1]
    width = triton.next_power_of_2(inputs)
    each = max(1, _WEIGHTS // width // (2 if gated else 1))
    overlap = launch.overlaps(x.device)
    _matvec_kernel[triton.cdiv(outputs, each),](
        x,
        added,
        constant,
        scale,
        weight,
        out,
        summed,
        outputs,
        inputs,
        eps,
        ROWS=x.numel() // inputs,
        EVERY=every,
        NORM=norm,
        CONSTANT=constant_rows,
        GATED=gated,
        N=each,
        K=width,
        OVERLAP=overlap,
        num_warps=4,
        enable_fp_fusion=True,
        **launch.options(overlap),
    )
