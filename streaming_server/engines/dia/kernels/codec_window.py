"""What comes before each convolution of the codec, in one launch: window, masks, bias and snake activation.

Tensors are [B, T, channels] with channels innermost, as `convolution` reads them. Arithmetic is in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS, _COLUMNS = 32, 64
"""Elements of a program: times by channels."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The streams of a call of the codec.

    state: [slots, n], what each stream keeps. slot_ids: [B], int64. first, length: [B], int64, frames fed
    before and in all. kept: [B, n], takes what the streams keep from this call.
    """

    state: Tensor
    kept: Tensor
    slot_ids: Tensor
    first: Tensor
    length: Tensor


@dataclass(frozen=True, slots=True)
class ConvolutionPlace:
    """Place of a convolution.

    offset: of its inputs among those kept. scale: its inputs per frame. lag: by how many it is behind.
    """

    offset: int
    scale: int
    lag: int


_ONE_PI = tl.constexpr(1 / math.pi)
_PI_HIGH = tl.constexpr(3.140625)
_PI_LOW = tl.constexpr(math.pi - 3.140625)
"""π in two parts, the first of so few bits that its multiples are exact (Cody and Waite)."""


@triton.jit
def _squared_sine(x):
    """Return sin² x to float32 rounding, for |x| up to some thousands.

    It has the period π. The library's sine needs a stack for the arguments that never occur here.
    """
    turns = tl.floor(x * _ONE_PI + 0.5)
    x = (x - turns * _PI_HIGH) - turns * _PI_LOW
    s = x * x
    series = 1.0 + s * (
        -1.0 / 6 + s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880 - s * (1.0 / 39916800))))
    )
    return s * series * series


@triton.jit
def snake(x, alpha, inverse, columns, inside):
    """Return x + sin²(alpha x) / alpha for x [rows, columns]."""
    a = tl.load(alpha + columns, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(inverse + columns, mask=inside, other=0.0).to(tl.float32)
    return x + _squared_sine(x * a[None, :]) * b[None, :]


@triton.jit
def _window_kernel(
    x,
    bias,
    residual,
    state,
    kept,
    slot_ids,
    first,
    length,
    alpha,
    inverse,
    out,
    middle,
    rows,
    width,
    reach,
    state_width,
    offset,
    scale,
    lag,
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    SNAKE: tl.constexpr,
    MIDDLE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    index = tl.program_id(2)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < width
    total = reach + rows
    slot = tl.load(slot_ids + index)
    old = ((row < reach)[:, None]) & inside[None, :]
    new = (((row >= reach) & (row < total))[:, None]) & inside[None, :]
    time = row - reach
    place = (index * rows + time)[:, None] * width + column[None, :]
    value = tl.load(x + place, mask=new, other=0.0).to(tl.float32)
    if RESIDUAL:
        value += tl.load(residual + place, mask=new, other=0.0).to(tl.float32)
    if BIAS:
        value += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)[None, :]
    position = tl.load(first + index) * scale - lag + time
    valid = (position >= 0) & (position < tl.load(length + index) * scale)
    value = tl.where(new & valid[:, None], value, 0.0)
    memory = row[:, None] * width + column[None, :] + offset
    value += tl.load(state + slot * state_width + memory, mask=old, other=0.0).to(tl.float32)
    # Rounded as it is kept, so that it does not matter where one call ends and the next begins.
    rounded = value.to(out.dtype.element_ty)
    value = rounded.to(tl.float32)
    last = ((row >= rows) & (row < total))[:, None] & inside[None, :]
    tl.store(kept + index * state_width + memory - rows * width, rounded, mask=last)
    if MIDDLE:
        shifted = row - reach // 2
        centre = ((shifted >= 0) & (shifted < rows))[:, None] & inside[None, :]
        tl.store(middle + (index * rows + shifted)[:, None] * width + column[None, :], rounded, mask=centre)
    if SNAKE:
        value = snake(value, alpha, inverse, column, inside)
    target = (index * total + row)[:, None] * width + column[None, :]
    tl.store(out + target, value.to(out.dtype.element_ty), mask=(row < total)[:, None] & inside[None, :])


def window(
    x: Tensor,
    calls: Calls,
    place: ConvolutionPlace,
    reach: int,
    *,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    activation: tuple[Tensor, Tensor] | None = None,
    middle: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return a convolution's inputs, [B, reach + T, channels], and the T in their middle before activation.

    The `reach` inputs kept from the last call come first; then x [B, T, channels] plus bias plus residual,
    zero outside the stream. activation: alpha and its inverse of the snake activation. middle: whether the
    middle is wanted; otherwise it is undefined.
    """
    count, rows, width = x.shape
    out = x.new_empty(count, reach + rows, width)
    centre = torch.empty_like(x) if middle else out
    alpha, inverse = activation or (x, x)
    grid = triton.cdiv(reach + rows, _ROWS), triton.cdiv(width, _COLUMNS), count
    _window_kernel[grid](
        x,
        x if bias is None else bias,
        x if residual is None else residual,
        calls.state,
        calls.kept,
        calls.slot_ids,
        calls.first,
        calls.length,
        alpha,
        inverse,
        out,
        centre,
        rows,
        width,
        reach,
        calls.state.stride(0),
        place.offset,
        place.scale,
        place.lag,
        BIAS=bias is not None,
        RESIDUAL=residual is not None,
        SNAKE=activation is not None,
        MIDDLE=middle,
        ROWS=_ROWS,
        COLUMNS=_COLUMNS,
        num_warps=4,
        enable_fp_fusion=True,
    )
    return out, centre
