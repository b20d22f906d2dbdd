"""From logits to the next codes, on the device and without waiting for it.

The rules are Dia's: guidance decides which codes are candidates but does not shift their odds; end of audio
is spoken by the first channel alone, and only when nothing is likelier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

USUAL_BREADTH: Final = 80
"""Candidates looked at where no stream asks for more; well above the usual 45 to 50, see `TIES`."""

TIES: Final = 16
"""Candidates beyond a stream's top-k that are looked at too. Those that tie with the last one kept are kept,
so that what a stream keeps does not depend on the order in which equals are found; some are not lawful."""

_GOLDEN: Final = 0x9E3779B97F4A7C15 - 2**64
_MIX_1: Final = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2: Final = 0x94D049BB133111EB - 2**64
"""The increment and multipliers of SplitMix64 (Steele, Lea and Flood 2014), as signed 64-bit integers."""


@dataclass(frozen=True, slots=True)
class SamplingRules:
    """What holds for every stream: the codes each channel may speak, and how end of audio is written."""

    lawful: Tensor
    """[channels, 1], int64: codes of a channel are below this."""
    channel_keys: Tensor
    """[1, channels], int64."""
    eos: int

    @classmethod
    def of(cls, channels: int, eos: int, device: torch.device) -> SamplingRules:
        lawful = torch.full((channels, 1), eos, device=device)
        lawful[0] = eos + 1
        keys = torch.arange(1, channels + 1, device=device) * _GOLDEN
        return cls(lawful, keys[None, :], eos)


@dataclass(frozen=True, slots=True)
class Knobs:
    """How each stream samples, one row per stream.

    guidance: cfg_scale, 0 for none; temperature: 0 for greedy; top_p: all [B, 1, 1], in the logits' dtype.
    filter_k, top_k: candidates kept, [B, 1, 1], int64. seed: [B, 1], int64.
    """

    guidance: Tensor
    temperature: Tensor
    top_p: Tensor
    filter_k: Tensor
    top_k: Tensor
    seed: Tensor


Chooser = Callable[[Tensor, Knobs, Tensor, SamplingRules, int, bool], Tensor]
"""What `choose` is."""


def uniform(keys: Tensor, counters: Tensor) -> Tensor:
    """Numbers in (0, 1) that depend on a key and a counter alone; both int64, broadcast together.

    Two rounds of SplitMix64's finaliser; integer arithmetic wraps alike on every device, so the same pair
    gives the same bits everywhere.
    """
    mixed = counters * _GOLDEN + keys
    mixed = (mixed ^ ((mixed >> 30) & (2**34 - 1))) * _MIX_1
    mixed = (mixed ^ ((mixed >> 27) & (2**37 - 1))) * _MIX_2
    return ((mixed >> 41) & (2**23 - 1)).to(torch.float32).add_(0.5).mul_(2.0**-23)


def stream_keys(seed: Tensor, rows: Tensor, rules: SamplingRules) -> Tensor:
    """One key per stream and channel, [B, channels], for the row about to be spoken; seed, rows: [B, 1]."""
    mixed = seed * _MIX_1 + rows * _MIX_2 + rules.channel_keys
    mixed = (mixed ^ ((mixed >> 30) & (2**34 - 1))) * _MIX_1
    mixed = (mixed ^ ((mixed >> 27) & (2**37 - 1))) * _MIX_2
    return mixed ^ ((mixed >> 31) & (2**33 - 1))


def choose(
    logits: Tensor, knobs: Knobs, rows: Tensor, rules: SamplingRules, breadth: int, sample: bool
) -> Tensor:
    """The next code of every stream and channel, [B, channels], int64.

    logits: [B, 2, channels, vocabulary], conditional first. rows: [B, 1], the row the codes go to, which
    counts the random numbers. breadth: candidates looked at, more by `TIES` than any stream's top_k and
    filter_k, or the vocabulary. sample: false where every stream is greedy.
    """
    conditional, unconditional = logits[:, 0], logits[:, 1]
    guided = torch.addcmul(conditional, conditional - unconditional, knobs.guidance)
    ranks, codes = guided.topk(breadth, dim=-1)
    bar = ranks.gather(-1, knobs.filter_k.clamp(max=breadth).sub_(1).expand(-1, ranks.shape[1], -1))
    values = conditional.gather(-1, codes)
    values.masked_fill_((ranks < bar) | (codes >= rules.lawful), -torch.inf)
    best = values.amax(-1, keepdim=True)
    # The lowest of equals, as argmax has it; 0 where guidance left nothing lawful.
    greedy = codes.masked_fill((values < best) | (best == -torch.inf), rules.eos + 1).amin(-1)
    greedy.masked_fill_(greedy > rules.eos, 0)
    if not sample:
        return greedy
    values.masked_fill_(codes == rules.eos, -torch.inf)
    drawn = _draw(values, codes, knobs, stream_keys(knobs.seed, rows, rules))
    decided = (greedy == rules.eos) | (knobs.temperature[:, 0] == 0)
    return torch.where(decided, greedy, drawn)


def _draw(values: Tensor, codes: Tensor, knobs: Knobs, keys: Tensor) -> Tensor:
    """Sample by temperature, top-k and top-p with the Gumbel-max trick; the noise belongs to the code.

    values, codes: [B, channels, breadth], the candidates, -inf where they are none. keys: [B, channels].
    """
    values, order = values.sort(dim=-1, descending=True)
    codes = codes.gather(-1, order)
    best = values[..., :1]
    breadth = values.shape[-1]
    top_k = knobs.top_k.clamp(max=breadth)
    scores = (values - best) / torch.where(knobs.temperature == 0, 1.0, knobs.temperature)
    weights = scores.exp()
    heaped = weights.cumsum(-1)
    enough = heaped.gather(-1, (top_k - 1).expand(-1, heaped.shape[1], -1)) * knobs.top_p
    dropped = (heaped - weights > enough) | (torch.arange(breadth, device=values.device) >= top_k)
    last_kept = scores.masked_fill(dropped, torch.inf).amin(-1, keepdim=True)
    noise = uniform(keys[..., None], codes).to(scores.dtype).log_().neg_().log_()
    winner = (scores - noise).masked_fill_(scores < last_kept, -torch.inf).argmax(dim=-1, keepdim=True)
    return codes.gather(-1, winner).masked_fill_(best == -torch.inf, 0)[..., 0]
