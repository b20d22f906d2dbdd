"""Attention of many rows of one slot against the keys in its pages, for prefill."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from streaming_server.engines.dia.kernels.attention import BLOCK, attend
from streaming_server.engines.dia.model.paged_cache import PagedCache

_ROWS = 64
"""Query rows of a program."""


@triton.jit
def _prefill_attention_kernel(
    q,
    pool,
    table,
    inputs,
    out,
    rows,
    table_width,
    TABLE_COLUMN: tl.constexpr,
    CAUSAL: tl.constexpr,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    PAGE: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    D: tl.constexpr,
    M: tl.constexpr,
    BLOCK: tl.constexpr,
):
    head, branch = tl.program_id(1), tl.program_id(2)
    kv_head = head // (HEADS // KV_HEADS)
    row = tl.program_id(0) * M + tl.arange(0, M)
    d = tl.arange(0, D)
    slot = tl.load(inputs)
    first = tl.load(inputs + 1).to(tl.int32)
    count = tl.load(inputs + 2).to(tl.int32)
    if CAUSAL:
        end = tl.minimum(first + (tl.program_id(0) + 1) * M, first + count)
    else:
        end = tl.load(inputs + 3).to(tl.int32)
    VALUES: tl.constexpr = KV_HEADS * PAGE * D
    keys = pool + (branch * 2 * KV_HEADS + kv_head) * PAGE * D
    pages = table + slot * table_width + TABLE_COLUMN
    place = ((branch * rows + row) * HEADS + head)[:, None] * D + d[None, :]
    known = (row < rows)[:, None]
    x = tl.load(q + place, mask=known, other=0.0)
    top = tl.full([M], float("-inf"), tl.float32)
    total = tl.zeros([M], tl.float32)
    mixed = tl.zeros([M, D], tl.float32)
    top, total, mixed = attend(
        x, keys, pages, 0, end, first + row, top, total, mixed, CAUSAL, VALUES, PAGE, PAGE_SIZE, D, BLOCK
    )
    tl.store(out + place, (mixed / total[:, None]).to(out.dtype.element_ty), mask=known)


def prefill_self_attention(q: Tensor, cache: PagedCache, layer: int, inputs: Tensor) -> Tensor:
    """Attend to the frames up to each row's own; returns [branches, rows, heads × head width].

    q: [branches, rows, heads, head width], rotated; the rows' own keys and values must be in the cache.
    inputs: [4], int64: slot, position of the first row, rows that count, bytes of text. Rows beyond those
    that count get finite values without meaning.
    """
    return _launch(q, cache, cache.self_pages(layer), layer, inputs, 0, causal=True)


def prefill_cross_attention(q: Tensor, cache: PagedCache, layer: int, inputs: Tensor) -> Tensor:
    """Attend to the text; returns [1, rows, heads × head width]. q: [1, rows, heads, head width]."""
    pages = cache.cross_pages(layer)[:, None]
    return _launch(q, cache, pages, layer, inputs, cache.layout.frame_pages, causal=False)


def _launch(
    q: Tensor, cache: PagedCache, pages: Tensor, layer: int, inputs: Tensor, column: int, causal: bool
) -> Tensor:
    branches, rows, heads, width = q.shape
    kv_heads, page = pages.shape[3:5]
    out = torch.empty(branches, rows, heads * width, device=q.device, dtype=q.dtype)
    _prefill_attention_kernel[triton.cdiv(rows, _ROWS), heads, branches](
        q,
        cache.pool[layer],
        cache.table,
        inputs,
        out,
        rows,
        cache.table.stride(0),
        TABLE_COLUMN=column,
        CAUSAL=causal,
        HEADS=heads,
        KV_HEADS=kv_heads,
        PAGE=page,
        PAGE_SIZE=cache.layout.size,
        D=width,
        M=_ROWS,
        BLOCK=BLOCK,
        num_warps=4,
        num_stages=2,
        enable_fp_fusion=True,
    )
    return out
