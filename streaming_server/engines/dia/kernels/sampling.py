"""Sampling with guidance, one program per stream and channel, and the update of the streams' state.

`model.sampling` states the rules; the codes are the same for the same seed. Nothing is sorted: the k-th
largest value and the smallest value within top-p are found by bisection over the bits of the floats, which
gives sets that do not depend on the order of equals.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from streaming_server.engines.dia.kernels import launch
from streaming_server.engines.dia.model import columns

_GOLDEN = tl.constexpr(0x9E3779B97F4A7C15 - 2**64)
_MIX_1 = tl.constexpr(0xBF58476D1CE4E5B9 - 2**64)
_MIX_2 = tl.constexpr(0x94D049BB133111EB - 2**64)
_LOW_23 = tl.constexpr(2**23 - 1)
_LOW_33 = tl.constexpr(2**33 - 1)
_LOW_34 = tl.constexpr(2**34 - 1)
_LOW_37 = tl.constexpr(2**37 - 1)
_LEAST_KEY = tl.constexpr(-(2**31))
_END_KEY = tl.constexpr(2**31)

_POSITION = tl.constexpr(columns.POSITION)
_END = tl.constexpr(columns.END)
_LIMIT = tl.constexpr(columns.LIMIT)
_FILTER_K = tl.constexpr(columns.FILTER_K)
_TOP_K = tl.constexpr(columns.TOP_K)
_SEED = tl.constexpr(columns.SEED)
_GUIDANCE = tl.constexpr(columns.GUIDANCE)
_TEMPERATURE = tl.constexpr(columns.TEMPERATURE)
_TOP_P = tl.constexpr(columns.TOP_P)


@triton.jit
def _mixed(x):
    """Run two rounds of SplitMix64's finalizer, without the last shift."""
    x = (x ^ ((x >> 30) & _LOW_34)) * _MIX_1
    return (x ^ ((x >> 27) & _LOW_37)) * _MIX_2


@triton.jit
def _order_key(x):
    """Map float32 to int64 such that the order is kept."""
    bits = x.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(tl.int64)


@triton.jit
def _kth_largest(keys, k):
    """Return the k-th largest of keys, counting equals separately."""
    low = tl.zeros([], tl.int64) + _LEAST_KEY
    high = tl.zeros([], tl.int64) + _END_KEY
    for _ in range(32):
        middle = (low + high) >> 1
        enough = tl.sum((keys >= middle).to(tl.int32), 0) >= k
        low = tl.where(enough, middle, low)
        high = tl.where(enough, high, middle)
    return low


@triton.jit
def _least_within(keys, weights, low, mass):
    """Return the least key, not below `low`, above which there is at most `mass` of the weights."""
    below = low - 1
    high = tl.zeros([], tl.int64) + _END_KEY
    for _ in range(33):
        middle = (below + high) >> 1
        within = tl.sum(tl.where(keys > middle, weights, 0.0), 0) <= mass
        high = tl.where(within, middle, high)
        below = tl.where(within, below, middle)
    return high


@triton.jit
def _sample_kernel(
    logits,
    slot_ids,
    ints,
    floats,
    chosen,
    vocabulary,
    logits_width,
    ints_width,
    floats_width,
    EOS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    if OVERLAP:
        launch.let_next_start()
        launch.wait_for_previous()
    index, channel = tl.program_id(0), tl.program_id(1)
    slot = tl.load(slot_ids + index)
    integers, reals = ints + slot * ints_width, floats + slot * floats_width
    codes = tl.arange(0, BLOCK)
    inside = codes < vocabulary
    row = logits + index * 2 * logits_width + channel * vocabulary + codes
    minus_infinity = float("-inf")
    conditional = tl.load(row, mask=inside, other=0.0).to(tl.float32)
    unconditional = tl.load(row + logits_width, mask=inside, other=0.0).to(tl.float32)

    # Guidance: rank by the guided logits, then forget them.
    guided = conditional + (conditional - unconditional) * tl.load(reals + _GUIDANCE)
    ranks = tl.where(inside, _order_key(guided), _LEAST_KEY)
    least = _kth_largest(ranks, tl.load(integers + _FILTER_K))
    allowed = EOS + tl.where(channel == 0, 1, 0)
    values = tl.where((ranks >= least) & (codes < allowed), conditional, minus_infinity)

    best = tl.max(values, 0)
    # The lowest of equals; if nothing is allowed all are equal, and it is 0.
    greedy = tl.min(tl.where(values == best, codes, BLOCK), 0)

    values = tl.where(codes == EOS, minus_infinity, values)
    best = tl.max(values, 0)
    temperature = tl.load(reals + _TEMPERATURE)
    divisor = tl.where(temperature == 0, 1.0, temperature)
    scores = tl.where(values > minus_infinity, tl.div_rn(values - best, divisor), minus_infinity)
    weights = tl.where(scores > minus_infinity, tl.exp(scores), 0.0)
    keys = tl.where(inside, _order_key(scores), _LEAST_KEY)

    top_k = tl.load(integers + _TOP_K)
    last = _kth_largest(keys, top_k)
    above = keys > last
    equals = (top_k - tl.sum(above.to(tl.int32), 0)).to(tl.float32)
    weight = tl.max(tl.where(keys == last, weights, 0.0), 0)
    mass = tl.sum(tl.where(above, weights, 0.0), 0) + equals * weight
    last = _least_within(keys, weights, last, mass * tl.load(reals + _TOP_P))

    # Gumbel-max: the noise is a function of seed, row, channel and code.
    seed = tl.load(integers + _SEED)
    position = tl.load(integers + _POSITION) + 1
    key = _mixed(seed * _MIX_1 + position * _MIX_2 + (channel + 1).to(tl.int64) * _GOLDEN)
    key = key ^ ((key >> 31) & _LOW_33)
    bits = _mixed(codes.to(tl.int64) * _GOLDEN + key)
    uniform = (((bits >> 41) & _LOW_23).to(tl.float32) + 0.5) * (2.0**-23)
    noise = tl.log(-tl.log(uniform))
    kept = (keys >= last) & (scores > minus_infinity)
    drawn = tl.argmax(tl.where(kept, scores - noise, minus_infinity), 0)
    drawn = tl.where(best == minus_infinity, 0, drawn)

    code = tl.where((greedy == EOS) | (temperature == 0), greedy, drawn)
    tl.store(chosen + index * CHANNELS + channel, code.to(tl.int64))


@triton.jit
def _advance_kernel(
    chosen,
    codes,
    slot_ids,
    active,
    ints,
    delays,
    rows,
    ints_width,
    EOS: tl.constexpr,
    PAD: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    if OVERLAP:
        launch.wait_for_previous()
    index = tl.program_id(0)
    if tl.load(active + index) == 0:
        return
    slot = tl.load(slot_ids + index)
    integers = ints + slot * ints_width
    row = tl.load(integers + _POSITION) + 1
    end = tl.load(integers + _END)
    channel = tl.arange(0, BLOCK)
    inside = channel < CHANNELS
    place = codes + (slot * rows + row) * CHANNELS + channel
    known = tl.load(place, mask=inside, other=0)
    new = tl.load(chosen + index * CHANNELS + channel, mask=inside, other=0)
    new = tl.where(known >= 0, known, new)
    first = tl.sum(tl.where(channel == 0, new, 0), 0)
    over = (first == EOS) | (row >= tl.load(integers + _LIMIT))
    end = tl.where(over, tl.minimum(end, row), end)
    past = row - end - tl.load(delays + channel, mask=inside, other=0)
    new = tl.where(past == 0, EOS, tl.where(past > 0, PAD, new))
    tl.store(place, new, mask=inside)
    tl.store(integers + _POSITION, row)
    tl.store(integers + _END, end)


def sample(logits: Tensor, batch: Tensor, ints: Tensor, floats: Tensor, eos: int) -> Tensor:
    """Return the next code of every stream and channel, [B, channels], int64.

    logits: [B, 2, channels, vocabulary], conditional first; branches may lie further apart than that. batch:
    [2, B], int64, slot ids first. ints, floats: the slots' integers, int64, and floats, float32; see
    `model.columns`.
    """
    count, branches, channels, vocabulary = logits.shape
    assert logits.stride(0) == branches * logits.stride(1)
    overlap = launch.overlaps(logits.device)
    chosen = batch.new_empty(count, channels)
    _sample_kernel[count, channels](
        logits,
        batch[0],
        ints,
        floats,
        chosen,
        vocabulary,
        logits.stride(1),
        ints.stride(0),
        floats.stride(0),
        EOS=eos,
        CHANNELS=channels,
        BLOCK=triton.next_power_of_2(vocabulary),
        OVERLAP=overlap,
        num_warps=4,
        enable_fp_fusion=False,  # As the plain sampler rounds.
        **launch.options(overlap),
    )
    return chosen


def advance(
    chosen: Tensor,
    codes: Tensor,
    batch: Tensor,
    ints: Tensor,
    delays: Tensor,
    eos: int,
    pad: int,
) -> None:
    """Write the codes of the next row, known ones first, and advance position and end of audio.

    chosen: [B, channels]. codes: [slots, rows, channels]. batch: [2, B], slot ids and whether each advances.
    delays: [channels]. All int64.
    """
    count, channels = chosen.shape
    overlap = launch.overlaps(chosen.device)
    _advance_kernel[count,](
        chosen,
        codes,
        batch[0],
        batch[1],
        ints,
        delays,
        codes.shape[1],
        ints.stride(0),
        EOS=eos,
        PAD=pad,
        CHANNELS=channels,
        BLOCK=triton.next_power_of_2(channels),
        OVERLAP=overlap,
        num_warps=1,
        enable_fp_fusion=False,
        **launch.options(overlap),
    )
