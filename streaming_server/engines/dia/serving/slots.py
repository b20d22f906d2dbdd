"""What the device knows of each stream, and how a step moves it on: codes, delays, end of audio.

Row t of a stream holds, for channel c, the code of frame t − 1 − delay[c]; row 0 and everything before the
first frame is BOS. The first channel's end of audio at row s is followed in channel c by one at s + delay[c]
and silence after it, so the frames spoken are complete at row s + last delay − 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streaming_server.engines.dia.model.sampling import (
    TIES,
    USUAL_BREADTH,
    Chooser,
    Knobs,
    SamplingRules,
    choose,
)
from streaming_server.engines.dia.model.transformer import Caches, CacheView, DiaModel, Lanes

NEVER = 2**40
"""A row no stream reaches."""

_FREE = -1
"""A code yet to be spoken."""

_POSITION, _END, _LIMIT, _TEXT, _FILTER_K, _TOP_K, _SEED = range(7)
_GUIDANCE, _TEMPERATURE, _TOP_P = range(3)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one stream is to be spoken; the meaning of each field is that of `types.Generation`.

    max_tokens: rows in all, the prompt's and the delayed tail's included. top_k: None for no limit.
    """

    temperature: float = 1.2
    top_p: float = 0.95
    top_k: int | None = 45
    cfg_scale: float = 3.0
    cfg_filter_top_k: int = 45
    max_tokens: int = 3072
    seed: int = 0


class Slots:
    """A fixed number of streams on one device."""

    def __init__(
        self, model: DiaModel, slots: int, frames: int | None = None, text: int | None = None
    ) -> None:
        config = model.config
        self.model = model
        self.count = slots
        self.choose: Chooser = choose
        self.frames = frames or config.decoder.positions
        self.text = text or config.encoder.positions
        self.caches = Caches.empty(config, slots, self.frames, self.text, model.device, model.dtype)
        d = config.decoder
        wide = torch.float64 if model.dtype == torch.float64 else torch.float32
        self._rules = SamplingRules.of(d.channels, config.eos, model.device)
        self._delays = torch.tensor(config.delays, device=model.device)[None]
        self.codes = torch.full((slots, self.frames + 1, d.channels), _FREE, device=model.device)
        # A slot nobody has begun may fill a batch, where its last row is looked up like any other.
        self.codes[:, 0] = config.bos
        self._whole = torch.zeros(slots, 7, device=model.device, dtype=torch.int64)
        self._whole[:, _FILTER_K : _TOP_K + 1] = 1
        self._whole[:, _TEXT] = 1
        self._real = torch.ones(slots, 3, device=model.device, dtype=wide)

    def begin(self, slot: int, prompt: Tensor, text: int, recipe: Recipe) -> int:
        """Set a slot up and return the first row it will speak.

        prompt: the codes it goes on from, [T, channels], int64, T may be 0. text: bytes in its cross cache.
        The rows before the returned one, less the last, must then be fed by `DiaModel.prefill`.
        """
        config, device = self.model.config, self.model.device
        length = prompt.shape[0]
        known = self.codes[slot].fill_(_FREE)
        for channel, delay in enumerate(config.delays):
            known[: delay + 1, channel] = config.bos
            known[delay + 1 : delay + 1 + length, channel] = prompt[: self.frames - delay, channel]
        limit = min(recipe.max_tokens, self.frames) - config.last_delay - 1
        whole = [0] * 7
        whole[_POSITION], whole[_END] = length, NEVER
        whole[_LIMIT], whole[_TEXT] = max(limit, length + 1), text
        vocabulary = config.decoder.vocabulary
        guided = recipe.cfg_scale != 1
        whole[_FILTER_K] = min(recipe.cfg_filter_top_k, vocabulary) if guided else vocabulary
        whole[_TOP_K] = min(recipe.top_k or vocabulary, vocabulary)
        whole[_SEED] = recipe.seed
        real = [recipe.cfg_scale if guided else 0.0, recipe.temperature, recipe.top_p]
        self._whole[slot].copy_(torch.tensor(whole, device="cpu").to(device, non_blocking=True))
        self._real[slot].copy_(torch.tensor(real, device="cpu").to(device, non_blocking=True))
        return length + 1

    def breadth(self, recipe: Recipe) -> int:
        """Candidates a step must look at for this recipe."""
        vocabulary = self.model.config.decoder.vocabulary
        guided = recipe.cfg_filter_top_k if recipe.cfg_scale != 1 else 1
        widest = max(guided, recipe.top_k or vocabulary) + TIES
        return USUAL_BREADTH if widest <= USUAL_BREADTH else vocabulary

    def step(self, view: CacheView, lanes: Lanes, moving: Tensor | None, breadth: int, sample: bool) -> None:
        """Speak one more row on every lane.

        view: made for the same lanes. moving: [B, 1], bool; where false the lane is only there to fill the
        batch, and stays as it was. None means that all move.
        """
        whole, real = self._whole[lanes], self._real[lanes]
        slots = view.indices
        position = whole[:, _POSITION]
        row = position + 1
        logits = self.model.step(self.codes[slots, position], view, position, whole[:, _TEXT])
        known = self.codes[slots, row]
        chosen = self.choose(
            logits.to(real.dtype), _knobs(whole, real), row[:, None], self._rules, breadth, sample
        )
        spoken = torch.where(known >= 0, known, chosen)
        end = whole[:, _END]
        over = (spoken[:, 0] == self.model.config.eos) | (row >= whole[:, _LIMIT])
        end = torch.where(over, torch.minimum(end, row), end)
        past = (row - end)[:, None] - self._delays
        spoken.masked_fill_(past == 0, self.model.config.eos).masked_fill_(past > 0, self.model.config.pad)
        moved = torch.stack([row, end], dim=1)
        if moving is not None:
            spoken = torch.where(moving, spoken, known)
            moved = torch.where(moving, moved, whole[:, : _END + 1])
        self.codes[slots, row] = spoken
        self._whole[slots, : _END + 1] = moved

    @property
    def progress(self) -> Tensor:
        """[slots, 2], int64, on the device: the last row spoken, and the row of end of audio or `NEVER`."""
        return self._whole[:, : _END + 1]

    def frames_of(self, slots: Tensor, first_rows: Tensor, count: int) -> Tensor:
        """`count` frames of several slots with the delays undone: [B, count, channels]; what is no code is 0.

        slots: [B], int64. first_rows: [B], int64, the row at which the first channel speaks the first frame.
        """
        rows = first_rows[:, None, None] + torch.arange(count, device=slots.device)[:, None] + self._delays[0]
        channels = torch.arange(self._delays.shape[1], device=slots.device)
        codes = self.codes[slots[:, None, None], rows.clamp_(max=self.frames), channels]
        return codes.masked_fill_((codes < 0) | (codes >= self.model.config.eos), 0)


def _knobs(whole: Tensor, real: Tensor) -> Knobs:
    real, ks = real[:, :, None, None], whole[:, :, None, None]
    return Knobs(
        guidance=real[:, _GUIDANCE],
        temperature=real[:, _TEMPERATURE],
        top_p=real[:, _TOP_P],
        filter_k=ks[:, _FILTER_K],
        top_k=ks[:, _TOP_K],
        seed=whole[:, _SEED, None],
    )
