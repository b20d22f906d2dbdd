"""The element-wise parts of a decode step, each fused with its neighbours.

Rows come in pairs, conditional and unconditional: x is [B, 2, width].
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from streaming_server.engines.dia.kernels import launch

_COLUMNS = 1024
"""Columns of `silu_mul` per program."""


@triton.jit
def _normalized(x, weight, columns, inside, width, eps):
    """Return the RMS norm of one row in float32."""
    scale = tl.rsqrt(tl.sum(x * x, 0) / width + eps)
    return x * scale * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _embed_kernel(
    codes,
    embedding,
    weight,
    slot_ids,
    table_places,
    table_pages,
    table,
    state,
    x,
    y,
    rows,
    vocabulary,
    width,
    state_width,
    eps,
    POSITION: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    if OVERLAP:
        launch.let_next_start()
    index = tl.program_id(0)
    added = tl.load(table_places + index)
    if added >= 0:
        tl.store(table + added, tl.load(table_pages + index))
    slot = tl.load(slot_ids + index)
    position = tl.load(state + slot * state_width + POSITION)
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    total = tl.zeros([BLOCK], tl.float32)
    for channel in tl.static_range(CHANNELS):
        code = tl.load(codes + (slot * rows + position) * CHANNELS + channel)
        row = embedding + (channel * vocabulary + code) * width
        total += tl.load(row + columns, mask=inside, other=0.0).to(tl.float32)
    summed = total.to(x.dtype.element_ty)
    normalized = _normalized(summed.to(tl.float32), weight, columns, inside, width, eps)
    for branch in tl.static_range(2):
        place = (index * 2 + branch) * width + columns
        tl.store(x + place, summed, mask=inside)
        tl.store(y + place, normalized.to(y.dtype.element_ty), mask=inside)


@triton.jit
def _add_norm_kernel(
    x,
    delta,
    constant,
    weight,
    y,
    width,
    eps,
    CONSTANT: tl.constexpr,
    CONDITIONAL: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    if OVERLAP:
        launch.let_next_start()
        launch.wait_for_previous()
    row = tl.program_id(0)
    index, branch = row // 2, row % 2
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    place = x + row * width + columns
    if CONSTANT:
        source = delta + index * width
        if branch == 1:
            source = constant
    else:
        source = delta + row * width
    summed = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    summed += tl.load(source + columns, mask=inside, other=0.0).to(tl.float32)
    rounded = summed.to(x.dtype.element_ty)
    tl.store(place, rounded, mask=inside)
    normalized = _normalized(rounded.to(tl.float32), weight, columns, inside, width, eps)
    if CONDITIONAL:
        if branch == 0:
            tl.store(y + index * width + columns, normalized.to(y.dtype.element_ty), mask=inside)
    else:
        tl.store(y + row * width + columns, normalized.to(y.dtype.element_ty), mask=inside)


@triton.jit
def _silu_mul_kernel(gate_up, out, width, BLOCK: tl.constexpr, OVERLAP: tl.constexpr):
    if OVERLAP:
        launch.let_next_start()
        launch.wait_for_previous()
    row = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < width
    gate = tl.load(gate_up + row * 2 * width + columns, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + (row * 2 + 1) * width + columns, mask=inside, other=0.0).to(tl.float32)
    result = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(out + row * width + columns, result.to(out.dtype.element_ty), mask=inside)


def embed_rms_norm(
    codes: Tensor,
    embedding: Tensor,
    weight: Tensor,
    batch: Tensor,
    table: Tensor,
    state: Tensor,
    column: int,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Sum the embeddings of each stream's last row; return that and its RMS norm, both [B, 2, width].

    As the first kernel of a step it also enters new pages into the table. It does not start early: the
    kernels that do rely on everything before the step being complete.

    codes: [slots, rows, channels], int64. embedding: [channels × vocabulary, width]. batch: [4, B], int64:
    slot ids, whether each advances, places in the table to be set, -1 for none, and their pages. state:
    [slots, n], int64; its `column` holds the row's index.
    """
    count, width = batch.shape[1], embedding.shape[1]
    x = embedding.new_empty(count, 2, width)
    y = embedding.new_empty(count, 2, width)
    _, rows, channels = codes.shape
    _embed_kernel[count,](
        codes,
        embedding,
        weight,
        batch[0],
        batch[2],
        batch[3],
        table,
        state,
        x,
        y,
        rows,
        embedding.shape[0] // channels,
        width,
        state.stride(0),
        eps,
        POSITION=column,
        CHANNELS=channels,
        BLOCK=triton.next_power_of_2(width),
        OVERLAP=launch.overlaps(codes.device),
        num_warps=8,
        enable_fp_fusion=True,
    )
    return x, y


def add_rms_norm(
    x: Tensor,
    delta: Tensor,
    weight: Tensor,
    eps: float,
    *,
    constant: Tensor | None = None,
    conditional: bool = False,
) -> Tensor:
    """Add `delta` to x [B, 2, width] in place and return the RMS norm of the sum.

    constant: [width], added to the unconditional rows; delta is then [B, 1, width], for the conditional ones.
    conditional: return the norm of the conditional rows only, [B, 1, width].
    """
    count, branches, width = x.shape
    y = x.new_empty(count, 1 if conditional else branches, width)
    overlap = launch.overlaps(x.device)
    _add_norm_kernel[count * branches,](
        x,
        delta,
        weight if constant is None else constant,
        weight,
        y,
        width,
        eps,
        CONSTANT=constant is not None,
        CONDITIONAL=conditional,
        BLOCK=triton.next_power_of_2(width),
        OVERLAP=overlap,
        num_warps=8,
        enable_fp_fusion=True,
        **launch.options(overlap),
    )
    return y


def silu_mul(gate_up: Tensor) -> Tensor:
    """Return silu(gate) × up for [B, n, 2 × width], gate first."""
    count, branches, double = gate_up.shape
    out = gate_up.new_empty(count, branches, double // 2)
    blocks = triton.cdiv(double // 2, _COLUMNS)
    overlap = launch.overlaps(gate_up.device)
    _silu_mul_kernel[count * branches, blocks](
        gate_up,
        out,
        double // 2,
        BLOCK=_COLUMNS,
        OVERLAP=overlap,
        num_warps=4,
        enable_fp_fusion=True,
        **launch.options(overlap),
    )
    return out
