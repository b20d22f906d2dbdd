"""Decode attention over live lengths: one query row per stream against the keys in its pages.

Slot ids, positions, text lengths and the pages of each slot are read from the device, so one launch serves
any set of slots and a CUDA graph needs no buckets of cache lengths. The keys of a row are split among several
programs, the last of which merges their partial results (split-K decoding, as in FlashDecoding). Query heads
that share a key head are computed together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from streaming_server.engines.dia.kernels import launch
from streaming_server.engines.dia.model.paged_cache import PagedCache

_LOG2_E = tl.constexpr(1.4426950408889634)

BLOCK = 32
"""Keys loaded at a time, all of one page. With 128-wide heads in bfloat16 three stages of keys and values
take 48 KB."""

_LEAST_M = 16
"""Rows of the smallest matrix product on tensor cores; a group of query heads is padded to it."""

_MOST_PARTS = 16
"""Parts that the keys of a row are split into at most."""

_LONGEST_PART = 1024
"""Keys per part when there are many rows: one long stream must not take much longer than the others."""


@dataclass(frozen=True, slots=True)
class Split:
    """Split of a row's keys: at most `parts` parts of at least `least` keys."""

    parts: int
    least: int

    @classmethod
    def of(cls, programs: int, length: int) -> Split:
        """Return the split of a cache of `length` keys. programs: their number without a split.

        Few rows are split finely: 10 s of audio, 430 frames, then make 100 to 250 programs, about two for
        each multiprocessor of a large GPU.
        """
        least = min(max(BLOCK, BLOCK * triton.next_power_of_2(programs) // 16), _LONGEST_PART)
        return cls(min(_MOST_PARTS, triton.cdiv(length, least)), least)


@triton.jit
def _part_length(length, parts, least, BLOCK: tl.constexpr):
    """Return the keys per part, a multiple of BLOCK."""
    return tl.maximum(tl.cdiv(tl.cdiv(length, parts), BLOCK) * BLOCK, least)


@triton.jit
def attend(
    q,
    keys,
    pages,
    start,
    end,
    last,
    top,
    total,
    mixed,
    CAUSAL: tl.constexpr,
    VALUES: tl.constexpr,
    PAGE: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Continue an online softmax over keys `start` to `end`; scores are in units of log 2.

    keys: a head's keys in the first page; its values lie VALUES further. pages: the slot's page numbers.
    last: with CAUSAL, the last key that each row of q sees.
    """
    d, n = tl.arange(0, D), tl.arange(0, BLOCK)
    # Each page number is loaded a block ahead. If a block's keys depended on a load in its own iteration, the
    # compiler would spend its stages on that and load no keys while others are multiplied.
    number = tl.load(pages + start // PAGE)
    for first in range(start, end, BLOCK):
        page = keys + number * PAGE_SIZE
        number = tl.load(pages + tl.minimum(first + BLOCK, end - 1) // PAGE)
        inside = first + n < end
        place = page + (first % PAGE + n)[:, None] * D + d[None, :]
        k = tl.load(place, mask=inside[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * _LOG2_E
        visible = inside[None, :]
        if CAUSAL:
            visible = visible & ((first + n)[None, :] <= last[:, None])
        scores = tl.where(visible, scores, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1))
        scale = tl.exp2(top - higher)
        weights = tl.exp2(scores - higher[:, None])
        v = tl.load(place + VALUES, mask=inside[:, None], other=0.0)
        mixed = mixed * scale[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        total = total * scale + tl.sum(weights, 1)
        top = higher
    return top, total, mixed


@triton.jit
def _append(
    q,
    new,
    keys,
    pages,
    length,
    cos,
    sin,
    VALUES: tl.constexpr,
    PAGE: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    D: tl.constexpr,
    M: tl.constexpr,
    OF_NEW_VALUES: tl.constexpr,
):
    """Write the new key, rotated, and its value; return an online softmax that has seen them.

    new: the head's new key; its value lies OF_NEW_VALUES further. The key is used from registers: no program
    reads it from the cache in this step.
    """
    d = tl.arange(0, D)
    k = tl.load(new + d).to(tl.float32) * cos + tl.load(new + (d ^ 1)).to(tl.float32) * sin
    k = k.to(q.dtype)
    v = tl.load(new + OF_NEW_VALUES + d)
    place = keys + tl.load(pages + length // PAGE) * PAGE_SIZE + (length % PAGE) * D + d
    tl.store(place, k)
    tl.store(place + VALUES, v)
    top = tl.sum(q.to(tl.float32) * k.to(tl.float32)[None, :], 1) * _LOG2_E
    total = tl.full([M], 1.0, tl.float32)
    mixed = tl.zeros([M, D], tl.float32) + v.to(tl.float32)[None, :]
    return top, total, mixed


@triton.jit(do_not_specialize=["parts", "least"])
def _attention_kernel(
    projected,
    rotary,
    pool,
    table,
    slot_ids,
    active,
    state,
    out,
    partial,
    statistics,
    arrivals,
    table_width,
    state_width,
    parts,
    least,
    STATE_COLUMN: tl.constexpr,
    TABLE_COLUMN: tl.constexpr,
    BRANCHES: tl.constexpr,
    SELF: tl.constexpr,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    PAGE: tl.constexpr,
    PAGE_SIZE: tl.constexpr,
    D: tl.constexpr,
    M: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    if OVERLAP:
        launch.let_next_start()
    row, kv_head, number = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    index, branch = row // BRANCHES, row % BRANCHES
    # The batch and the slots' state do not change while a step runs until its last kernel.
    advances = tl.load(active + index)
    slot = tl.load(slot_ids + index)
    length = tl.load(state + slot * state_width + STATE_COLUMN).to(tl.int32)
    if OVERLAP:
        launch.wait_for_previous()
    size = _part_length(length, parts, least, BLOCK)
    used = tl.maximum(tl.cdiv(length, size), 1)
    if (advances == 0) | (number >= used):
        return
    start = number * size
    end = tl.minimum(start + size, length)

    GROUP: tl.constexpr = HEADS // KV_HEADS
    ROW: tl.constexpr = (HEADS + 2 * KV_HEADS) * D if SELF else HEADS * D
    m, d = tl.arange(0, M), tl.arange(0, D)
    heads = kv_head * GROUP + m
    wanted = m < GROUP
    base = projected + row * ROW
    q = tl.load(base + heads[:, None] * D + d[None, :], mask=wanted[:, None], other=0.0)
    VALUES: tl.constexpr = KV_HEADS * PAGE * D
    keys = pool + (branch * 2 * KV_HEADS + kv_head) * PAGE * D
    pages = table + slot * table_width + TABLE_COLUMN
    top = tl.full([M], float("-inf"), tl.float32)
    total = tl.zeros([M], tl.float32)
    mixed = tl.zeros([M, D], tl.float32)
    if SELF:
        # Pairs of neighbours rotate together: the partner of element i is i ^ 1.
        pair = (d // 2) * 2
        cos = tl.load(rotary + length * D + pair)
        sin = tl.load(rotary + length * D + pair + 1) * tl.where(d % 2 == 0, -1.0, 1.0)
        partner = tl.load(base + heads[:, None] * D + (d ^ 1)[None, :], mask=wanted[:, None], other=0.0)
        turned = q.to(tl.float32) * cos[None, :] + partner.to(tl.float32) * sin[None, :]
        q = turned.to(q.dtype)
        if number == 0:
            top, total, mixed = _append(
                q,
                base + (HEADS + kv_head) * D,
                keys,
                pages,
                length,
                cos,
                sin,
                VALUES,
                PAGE,
                PAGE_SIZE,
                D,
                M,
                KV_HEADS * D,
            )
    top, total, mixed = attend(
        q, keys, pages, start, end, end, top, total, mixed, False, VALUES, PAGE, PAGE_SIZE, D, BLOCK
    )
    if (PARTS == 1) | (used == 1):
        place = out + (row * HEADS + heads[:, None]) * D + d[None, :]
        tl.store(place, (mixed / total[:, None]).to(out.dtype.element_ty), mask=wanted[:, None])
        return
    place = (row * HEADS + heads) * PARTS + number
    tl.store(partial + place[:, None] * D + d[None, :], mixed, mask=wanted[:, None])
    tl.store(statistics + place * 2, top, mask=wanted)
    tl.store(statistics + place * 2 + 1, total, mask=wanted)
    tl.debug_barrier()  # One thread counts for all, so all must have stored.
    arrived = arrivals + row * KV_HEADS + kv_head
    if tl.atomic_add(arrived, 1, sem="acq_rel") == used - 1:
        tl.store(arrived, 0)
        _merge(partial, statistics, out, row, kv_head, used, HEADS, GROUP, D, PARTS)


@triton.jit
def _merge(
    partial,
    statistics,
    out,
    row,
    kv_head,
    used,
    HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    PARTS: tl.constexpr,
):
    """Merge the parts of the heads that share a key head.

    Other programs wrote them, so the loads bypass the L1 cache.
    """
    s, d = tl.arange(0, PARTS), tl.arange(0, D)
    live = s < used
    for member in tl.static_range(GROUP):
        head = row * HEADS + kv_head * GROUP + member
        place = head * PARTS + s
        top = tl.load(statistics + place * 2, mask=live, other=float("-inf"), cache_modifier=".cg")
        total = tl.load(statistics + place * 2 + 1, mask=live, other=0.0, cache_modifier=".cg")
        mixed = tl.load(
            partial + place[:, None] * D + d[None, :], mask=live[:, None], other=0.0, cache_modifier=".cg"
        )
        scale = tl.exp2(top - tl.max(top, 0))
        result = tl.sum(mixed * scale[:, None], 0) / tl.sum(total * scale, 0)
        tl.store(out + head * D + d, result.to(out.dtype.element_ty))


def self_attention(
    qkv: Tensor,
    rotary: Tensor,
    cache: PagedCache,
    layer: int,
    batch: Tensor,
    state: Tensor,
    column: int,
    heads: int,
    arrivals: Tensor,
) -> Tensor:
    """Rotate, write the new keys and values, and attend; returns [B, branches, heads × head width].

    qkv: [B, branches, (heads + 2 × kv heads) × head width], before rotation. rotary: [positions, head width],
    cosine and sine of each pair side by side, float32. batch: [2 or more, B], int64, slot ids and whether
    each advances; rows of those that do not are undefined and their slots stay as they are. state: [slots,
    n], int64; its `column` holds the new row's position, for which the slot must have a page. arrivals:
    zeros, int32, one for each of the rows' key heads, that no other kernel uses meanwhile; they are zeros
    afterwards.
    """
    _, branches, _, kv_heads, frames, width = cache.self_pages(layer).shape
    split = Split.of(qkv.shape[0] * branches * kv_heads, cache.layout.frame_pages * frames)
    shape = _Shape(branches, heads, kv_heads, width, frames, 0, own=True)
    return _launch(qkv, rotary, cache, layer, batch, state, column, split, shape, arrivals)


def cross_attention(
    q: Tensor, cache: PagedCache, layer: int, batch: Tensor, state: Tensor, column: int, arrivals: Tensor
) -> Tensor:
    """Attend to the text; returns [B, 1, heads × head width].

    q: [B, 1, heads × head width]. state: its `column` holds the bytes of text. The rest as for
    `self_attention`.
    """
    _, _, heads, text, width = cache.cross_pages(layer).shape
    split = Split.of(q.shape[0] * heads, cache.layout.text_pages * text)
    shape = _Shape(1, heads, heads, width, text, cache.layout.frame_pages, own=False)
    return _launch(q, q, cache, layer, batch, state, column, split, shape, arrivals)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Shape of a launch. page: keys per page. first_page: column of the slot's first page in the table. own:
    whether it is self-attention.
    """

    branches: int
    heads: int
    kv_heads: int
    width: int
    page: int
    first_page: int
    own: bool


def _launch(
    projected: Tensor,
    rotary: Tensor,
    cache: PagedCache,
    layer: int,
    batch: Tensor,
    state: Tensor,
    column: int,
    split: Split,
    shape: _Shape,
    arrivals: Tensor,
) -> Tensor:
    count, branches, heads, width = projected.shape[0], shape.branches, shape.heads, shape.width
    rows = count * branches
    out = projected.new_empty(count, branches, heads * width)
    partial = statistics = out
    stored = triton.next_power_of_2(split.parts)
    if stored > 1:
        partial = projected.new_empty(rows, heads, stored, width, dtype=torch.float32)
        statistics = projected.new_empty(rows, heads, stored, 2, dtype=torch.float32)
    overlap = launch.overlaps(projected.device)
    _attention_kernel[rows, shape.kv_heads, split.parts](
        projected,
        rotary,
        cache.pool[layer],
        cache.table,
        batch[0],
        batch[1],
        state,
        out,
        partial,
        statistics,
        arrivals,
        cache.table.stride(0),
        state.stride(0),
        split.parts,
        split.least,
        STATE_COLUMN=column,
        TABLE_COLUMN=shape.first_page,
        BRANCHES=branches,
        SELF=shape.own,
        HEADS=heads,
        KV_HEADS=shape.kv_heads,
        PAGE=shape.page,
        PAGE_SIZE=cache.layout.size,
        D=width,
        M=max(_LEAST_M, triton.next_power_of_2(heads // shape.kv_heads)),
        PARTS=stored,
        BLOCK=BLOCK,
        OVERLAP=overlap,
        num_warps=4,
        num_stages=3,
        maxnreg=128,
        enable_fp_fusion=True,
        **launch.options(overlap),
    )
    return out
