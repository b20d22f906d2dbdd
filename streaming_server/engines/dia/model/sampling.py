"""Sampling: from logits to the next codes, on the device and without a synchronization.

The rules are Dia's. Guidance selects the candidates but does not change their odds. End of audio comes
from the first channel only: it is forced if it is the likeliest code and forbidden otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

DEFAULT_CANDIDATES: Final = 80
"""Candidates ranked when no stream asks for more; well above the usual top-k of 45 to 50, see `TIES`."""

TIES: Final = 16
"""Candidates ranked beyond a stream's top-k. Codes that tie with the last one kept are kept too, so that the
result does not depend on the order in which equals are sorted; some candidates are not allowed."""

_GOLDEN: Final = 0x9E3779B97F4A7C15 - 2**64
_MIX_1: Final = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2: Final = 0x94D049BB133111EB - 2**64
"""The increment and multipliers of SplitMix64 (Steele, Lea and Flood 2014), as signed 64-bit integers."""


@dataclass(frozen=True, slots=True)
class SamplingRules:
    """Constants of every stream: the codes each channel may produce, and the code for end of audio."""

    allowed_below: Tensor
    """[channels, 1], int64: a channel's codes are below this."""
    channel_keys: Tensor
    """[1, channels], int64: mixed into the random key of each channel."""
    eos: int

    @classmethod
    def of(cls, channels: int, eos: int, device: torch.device) -> SamplingRules:
        allowed_below = torch.full((channels, 1), eos, device=device)
        allowed_below[0] = eos + 1
        keys = torch.arange(1, channels + 1, device=device) * _GOLDEN
        return cls(allowed_below, keys[None, :], eos)


@dataclass(frozen=True, slots=True)
class SamplingTensors:
    """Sampling parameters on the device, one row per stream.

    guidance: cfg_scale, 0 for none; temperature: 0 for greedy; top_p: all [B, 1, 1], in the logits' dtype.
    filter_k, top_k: candidates kept, [B, 1, 1], int64. seed: [B, 1], int64.
    """

    guidance: Tensor
    temperature: Tensor
    top_p: Tensor
    filter_k: Tensor
    top_k: Tensor
    seed: Tensor


def uniform(keys: Tensor, counters: Tensor) -> Tensor:
    """Return numbers in (0, 1) that depend only on key and counter; both int64, broadcast together.

    Two rounds of SplitMix64's finalizer. Integer arithmetic wraps alike on every device, so the same pair
    gives the same bits everywhere.
    """
    mixed = counters * _GOLDEN + keys
    mixed = (mixed ^ ((mixed >> 30) & (2**34 - 1))) * _MIX_1
    mixed = (mixed ^ ((mixed >> 27) & (2**37 - 1))) * _MIX_2
    return ((mixed >> 41) & (2**23 - 1)).to(torch.float32).add_(0.5).mul_(2.0**-23)


def stream_keys(seed: Tensor, rows: Tensor, rules: SamplingRules) -> Tensor:
    """Return one key per stream and channel, [B, channels], for the row being sampled; seed, rows: [B, 1]."""
    mixed = seed * _MIX_1 + rows * _MIX_2 + rules.channel_keys
    mixed = (mixed ^ ((mixed >> 30) & (2**34 - 1))) * _MIX_1
    mixed = (mixed ^ ((mixed >> 27) & (2**37 - 1))) * _MIX_2
    return mixed ^ ((mixed >> 31) & (2**33 - 1))


def sample_codes(
    logits: Tensor, params: SamplingTensors, rows: Tensor, rules: SamplingRules, candidates: int, sample: bool
) -> Tensor:
    """Return the next code of every stream and channel, [B, channels], int64.

    logits: [B, 2, channels, vocabulary], conditional first. rows: [B, 1], the row being sampled, which is
    the counter of the random numbers. candidates: how many are ranked; at least `TIES` more than any
    stream's top_k and filter_k, or the vocabulary. sample: False if every stream is greedy.
    """
    conditional, unconditional = logits[:, 0], logits[:, 1]
    guided = torch.addcmul(conditional, conditional - unconditional, params.guidance)
    ranks, codes = guided.topk(candidates, dim=-1)
    threshold = ranks.gather(-1, params.filter_k.clamp(max=candidates).sub_(1).expand(-1, ranks.shape[1], -1))
    values = conditional.gather(-1, codes)
    values.masked_fill_((ranks < threshold) | (codes >= rules.allowed_below), -torch.inf)
    best = values.amax(-1, keepdim=True)
    # argmax takes the lowest of equals; code 0 if guidance left no allowed code.
    greedy = codes.masked_fill((values < best) | (best == -torch.inf), rules.eos + 1).amin(-1)
    greedy.masked_fill_(greedy > rules.eos, 0)
    if not sample:
        return greedy
    values.masked_fill_(codes == rules.eos, -torch.inf)
    drawn = _draw(values, codes, params, stream_keys(params.seed, rows, rules))
    decided = (greedy == rules.eos) | (params.temperature[:, 0] == 0)
    return torch.where(decided, greedy, drawn)


def _draw(values: Tensor, codes: Tensor, params: SamplingTensors, keys: Tensor) -> Tensor:
    """Sample by temperature, top-k and top-p with the Gumbel-max trick; the noise is a function of the code.

    values, codes: [B, channels, candidates], -inf where there is no candidate. keys: [B, channels].
    """
    values, order = values.sort(dim=-1, descending=True)
    codes = codes.gather(-1, order)
    best = values[..., :1]
    candidates = values.shape[-1]
    top_k = params.top_k.clamp(max=candidates)
    scores = (values - best) / torch.where(params.temperature == 0, 1.0, params.temperature)
    weights = scores.exp()
    cumulative = weights.cumsum(-1)
    enough = cumulative.gather(-1, (top_k - 1).expand(-1, cumulative.shape[1], -1)) * params.top_p
    dropped = (cumulative - weights > enough) | (torch.arange(candidates, device=values.device) >= top_k)
    last_kept = scores.masked_fill(dropped, torch.inf).amin(-1, keepdim=True)
    noise = uniform(keys[..., None], codes).to(scores.dtype).log_().neg_().log_()
    winner = (scores - noise).masked_fill_(scores < last_kept, -torch.inf).argmax(dim=-1, keepdim=True)
    return codes.gather(-1, winner).masked_fill_(best == -torch.inf, 0)[..., 0]
