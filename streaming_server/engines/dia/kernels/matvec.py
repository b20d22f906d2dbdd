"""Products of a matrix with one to four rows: as fast as the weights can be read.

A program keeps all weights of a few outputs in registers. Where kernels can start early it loads them while
the kernel before it, whose result it multiplies, still runs.
"""

from __future__ import annotations

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
    weight,
    out,
    outputs,
    inputs,
    ROWS: tl.constexpr,
    EVEN: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    if OVERLAP:
        launch.let_next_start()
    n = tl.program_id(0) * N + tl.arange(0, N)
    k = tl.arange(0, K)
    inside = n < outputs
    known = inside[:, None] if EVEN else inside[:, None] & (k < inputs)[None, :]
    weights = tl.load(weight + n[:, None] * inputs + k[None, :], mask=known, other=0.0)
    if OVERLAP:
        launch.wait_for_previous()
    for row in tl.static_range(ROWS):
        if EVEN:
            values = tl.load(x + row * inputs + k)
        else:
            values = tl.load(x + row * inputs + k, mask=k < inputs, other=0.0)
        total = tl.sum(weights.to(tl.float32) * values.to(tl.float32)[None, :], 1)
        tl.store(out + row * outputs + n, total.to(out.dtype.element_ty), mask=inside)


def multiply(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ, [..., outputs]. x: [..., inputs], contiguous, of few rows. weight: [outputs, inputs]."""
    outputs, inputs = weight.shape
    width = triton.next_power_of_2(inputs)
    each = max(1, _WEIGHTS // width)
    out = x.new_empty(*x.shape[:-1], outputs)
    overlap = launch.overlaps(x.device)
    _matvec_kernel[triton.cdiv(outputs, each),](
        x,
        weight,
        out,
        outputs,
        inputs,
        ROWS=x.numel() // inputs,
        EVEN=width == inputs,
        N=each,
        K=width,
        OVERLAP=overlap,
        num_warps=4,
        enable_fp_fusion=True,
        **launch.options(overlap),
    )
    return out
