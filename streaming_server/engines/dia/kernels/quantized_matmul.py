"""Matrix products with weights of 8 bits, split over the inputs.

Integers or float8_e4m3fn are converted as they are loaded (W8A16), so that half the bytes are read; float8
without the hardware's help, which GPUs before sm_89 lack. The inputs of an output are split among programs
until they fill a large GPU, and a second kernel adds their parts, always in the same order.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_PROGRAMS = 264
"""Programs to be had at least: two for each multiprocessor of an H100."""

_MOST_PARTS = 8
"""Parts that the inputs are split into at most."""

_OUTPUTS, _INPUTS = 32, 128
"""Outputs of a program, and inputs loaded at a time."""

_MOST_ROWS = 64
"""Rows of a program at most; more rows read the weights again, from the cache."""

_SUMMED = 1024
"""Elements that a program adds up."""


@triton.jit
def _float8_values(bits):
    """Return the values of float8_e4m3fn numbers, given as int8, divided by 256, in float16; exact.

    Both formats have a sign, an exponent and a mantissa; their exponents are biased by 7 and 15.
    """
    wide = bits.to(tl.int16)
    return (((wide & 0x7F) << 7) | ((wide & 0x80) << 8)).to(tl.float16, bitcast=True)


@triton.jit
def _product_kernel(
    x,
    weight,
    scale,
    out,
    rows,
    outputs,
    inputs,
    part,
    FLOAT8: tl.constexpr,
    EVEN: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
):
    m = tl.program_id(1) * M + tl.arange(0, M)
    n = tl.program_id(0) * N + tl.arange(0, N)
    number = tl.program_id(2)
    start = number * part
    end = tl.minimum(start + part, inputs)
    total = tl.zeros([M, N], tl.float32)
    for first in range(start, end, K):
        k = first + tl.arange(0, K)
        if EVEN:
            a = tl.load(x + m[:, None] * inputs + k[None, :], mask=(m < rows)[:, None], other=0.0)
            b = tl.load(weight + n[:, None] * inputs + k[None, :], mask=(n < outputs)[:, None], other=0)
        else:
            known = (k < end)[None, :]
            a = tl.load(x + m[:, None] * inputs + k[None, :], mask=(m < rows)[:, None] & known, other=0.0)
            b = tl.load(
                weight + n[:, None] * inputs + k[None, :], mask=(n < outputs)[:, None] & known, other=0
            )
        if FLOAT8:
            b = _float8_values(b)
        total += tl.dot(a, tl.trans(b.to(a.dtype)), input_precision="ieee")
    total *= tl.load(scale + n, mask=n < outputs, other=0.0).to(tl.float32)[None, :]
    if FLOAT8:
        total *= 256.0
    place = out + (number * rows + m)[:, None] * outputs + n[None, :]
    tl.store(place, total.to(out.dtype.element_ty), mask=(m < rows)[:, None] & (n < outputs)[None, :])


@triton.jit
def _sum_kernel(partial, out, size, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    total = tl.zeros([BLOCK], tl.float32)
    for number in tl.static_range(PARTS):
        total += tl.load(partial + number * size + place, mask=inside, other=0.0)
    tl.store(out + place, total.to(out.dtype.element_ty), mask=inside)


def parts_of(rows: int, outputs: int, inputs: int) -> int:
    """Return the number of parts that the inputs are split into, a power of two."""
    programs = triton.cdiv(outputs, _OUTPUTS) * triton.cdiv(rows, _MOST_ROWS)
    wanted: int = triton.next_power_of_2(triton.cdiv(_PROGRAMS, programs))
    most = triton.cdiv(inputs, _INPUTS)
    while wanted > min(_MOST_PARTS, most):
        wanted //= 2
    return max(1, wanted)


def product(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Return x Wᵀ, [..., outputs]. x: [..., inputs], contiguous.

    weight: [outputs, inputs], int8 or float8_e4m3fn. scale: [outputs], one for each.
    """
    float8 = weight.dtype == torch.float8_e4m3fn
    if float8:
        weight = weight.view(torch.int8)
    outputs, inputs = weight.shape
    rows = x.numel() // inputs
    parts = parts_of(rows, outputs, inputs)
    part = triton.cdiv(triton.cdiv(inputs, parts), _INPUTS) * _INPUTS
    out = x.new_empty(*x.shape[:-1], outputs)
    target = out if parts == 1 else x.new_empty(parts, rows, outputs, dtype=torch.float32)
    height = min(_MOST_ROWS, max(16, triton.next_power_of_2(rows)))
    _product_kernel[triton.cdiv(outputs, _OUTPUTS), triton.cdiv(rows, height), parts](
        x,
        weight,
        scale,
        target,
        rows,
        outputs,
        inputs,
        part,
        FLOAT8=float8,
        EVEN=inputs % _INPUTS == 0,
        M=height,
        N=_OUTPUTS,
        K=_INPUTS,
        num_warps=4,
        num_stages=4,
        enable_fp_fusion=True,
    )
    if parts > 1:
        size = rows * outputs
        _sum_kernel[triton.cdiv(size, _SUMMED),](
            target, out, size, PARTS=parts, BLOCK=_SUMMED, num_warps=4, enable_fp_fusion=True
        )
    return out
