"""The device-side state of each stream, and how a step advances it: codes, delays, end of audio.

Row t of a stream holds, for channel c, the code of frame t − 1 − delay[c]; row 0 and everything before the
first frame is BOS. An end of audio in the first channel at row s is followed in channel c by one at s +
delay[c] and padding after it, so the generated frames are complete at row s + last delay − 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streaming_server.engines.dia.model import columns
from streaming_server.engines.dia.model.kv_cache import KVCache, KVCacheView, SlotIndex
from streaming_server.engines.dia.model.paged_cache import PagedCache
from streaming_server.engines.dia.model.sampling import (
    DEFAULT_CANDIDATES,
    TIES,
    SamplingRules,
    SamplingTensors,
    sample_codes,
)
from streaming_server.engines.dia.model.transformer import DiaModel

NO_END = 2**40
"""End-of-audio row of a stream that has not ended."""

_FREE = -1
"""A code not generated yet."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Sampling options of one stream; the fields mean what they mean in `types.Generation`.

    max_tokens: rows in all, including the prompt and the delayed tail. top_k: None for no limit.
    """

    temperature: float = 1.2
    top_p: float = 0.95
    top_k: int | None = 45
    cfg_scale: float = 3.0
    cfg_filter_top_k: int = 45
    max_tokens: int = 3072
    seed: int = 0


class Slots:
    """The state of a fixed number of streams on one device.

    frames, text: the longest stream and text; by default what the model supports. pages: number of pages to
    keep keys and values in, for Triton kernels; by default each slot has room for the longest stream.

    ends: each slot's end-of-audio row or `NO_END`, [slots], int64, on the device.
    """

    def __init__(
        self,
        model: DiaModel,
        slots: int,
        frames: int | None = None,
        text: int | None = None,
        pages: int | None = None,
    ) -> None:
        config = model.config
        self.model = model
        self.count = slots
        self.frames = frames or config.decoder.positions
        self.text = text or config.encoder.positions
        given = self.frames, self.text, model.device, model.dtype
        self._cache = KVCache.empty(config, slots, *given) if pages is None else None
        self._paged = None if pages is None else PagedCache.empty(config, slots, pages, *given)
        d = config.decoder
        real = torch.float64 if model.dtype == torch.float64 else torch.float32
        self._rules = SamplingRules.of(d.channels, config.eos, model.device)
        self.delays = torch.tensor(config.delays, device=model.device)
        device = model.device
        self.codes = torch.empty(slots, self.frames + 1, d.channels, device=device, dtype=torch.int64)
        self.ints = torch.empty(slots, columns.INTEGERS, device=device, dtype=torch.int64)
        self.ends = self.ints[:, columns.END]
        self.floats = torch.empty(slots, columns.FLOATS, device=device, dtype=real)
        self.clear()

    @property
    def cache(self) -> KVCache:
        """The cache of slots without pages."""
        assert self._cache is not None
        return self._cache

    @property
    def paged(self) -> PagedCache:
        """The cache of slots with pages."""
        assert self._paged is not None
        return self._paged

    @property
    def has_pages(self) -> bool:
        return self._paged is not None

    @property
    def cache_bytes(self) -> int:
        """Size of the keys and values of all slots."""
        if self._paged is not None:
            return self._paged.pool.nbytes
        return sum(tensor.nbytes for tensor in (*self.cache.self_kv, *self.cache.cross_kv))

    def clear(self) -> None:
        """Reset every slot to its initial state."""
        if self._paged is not None:
            self._paged.clear()
        self.codes.fill_(_FREE)
        # A slot that was never used may pad a batch, where its last row is read like any other.
        self.codes[:, 0] = self.model.config.bos
        self.ints.zero_()
        self.ints[:, columns.FILTER_K : columns.TOP_K + 1] = 1
        self.ints[:, columns.TEXT] = 1
        self.floats.fill_(1.0)

    def pretend(self, frames: int, text: int, long: int) -> None:
        """Put every slot in the middle of a stream of `frames` frames and `text` bytes, to time steps.

        long: the interval of slots that are near their end. Slots must be cleared before they are used.
        """
        self.paged.spread()
        self.codes.zero_()
        self.ints[:, columns.POSITION] = min(frames, self.frames // 2)
        self.ints[long - 1 :: long, columns.POSITION] = self.frames * 7 // 8
        self.ints[:, columns.TEXT] = min(text, self.text)
        self.ints[:, columns.LIMIT] = NO_END
        self.ints[:, columns.END] = NO_END
        params = SamplingParams()
        self.ints[:, columns.FILTER_K] = params.cfg_filter_top_k
        self.ints[:, columns.TOP_K] = params.top_k or 1

    def begin(self, slot: int, prompt: Tensor, text: int, params: SamplingParams) -> int:
        """Set up a slot and return the first row it will generate.

        prompt: codes to continue from, [T, channels], int64; T may be 0. text: bytes in its
        cross-attention cache. The rows before the returned one, except the last, must then be fed by
        `DiaModel.prefill`.
        """
        config, device = self.model.config, self.model.device
        length = prompt.shape[0]
        known = self.codes[slot].fill_(_FREE)
        for channel, delay in enumerate(config.delays):
            known[: delay + 1, channel] = config.bos
            known[delay + 1 : delay + 1 + length, channel] = prompt[: self.frames - delay, channel]
        ints = [0] * columns.INTEGERS
        ints[columns.POSITION], ints[columns.END] = length, NO_END
        ints[columns.LIMIT], ints[columns.TEXT] = self.limit_row(length + 1, params), text
        vocabulary = config.decoder.vocabulary
        guided = params.cfg_scale != 1
        ints[columns.FILTER_K] = min(params.cfg_filter_top_k, vocabulary) if guided else vocabulary
        ints[columns.TOP_K] = min(params.top_k or vocabulary, vocabulary)
        ints[columns.SEED] = params.seed
        floats = [params.cfg_scale if guided else 0.0, params.temperature, params.top_p]
        self.ints[slot].copy_(torch.tensor(ints, device="cpu").to(device, non_blocking=True))
        self.floats[slot].copy_(torch.tensor(floats, device="cpu").to(device, non_blocking=True))
        return length + 1

    def limit_row(self, first: int, params: SamplingParams) -> int:
        """Return the row where a stream must end at the latest, whose first frame is in row `first`."""
        return max(first, min(params.max_tokens, self.frames) - self.model.config.last_delay - 1)

    def candidates(self, params: SamplingParams) -> int:
        """Return how many candidates a step must rank for these parameters."""
        vocabulary = self.model.config.decoder.vocabulary
        guided = params.cfg_filter_top_k if params.cfg_scale != 1 else 1
        widest = max(guided, params.top_k or vocabulary) + TIES
        return DEFAULT_CANDIDATES if widest <= DEFAULT_CANDIDATES else vocabulary

    def step(
        self, view: KVCacheView, slot_ids: SlotIndex, active: Tensor | None, candidates: int, sample: bool
    ) -> None:
        """Generate one more row in every slot of `view`.

        slot_ids: those `view` was made for. active: [B, 1], bool; a slot that is not active only pads the
        batch and does not change. None if all are.
        """
        ints, floats = self.ints[slot_ids], self.floats[slot_ids]
        slots = view.indices
        position = ints[:, columns.POSITION]
        row = position + 1
        logits = self.model.step(self.codes[slots, position], view, position, ints[:, columns.TEXT])
        known = self.codes[slots, row]
        chosen = sample_codes(
            logits.to(floats.dtype),
            sampling_tensors(ints, floats),
            row[:, None],
            self._rules,
            candidates,
            sample,
        )
        codes_out = torch.where(known >= 0, known, chosen)
        end = ints[:, columns.END]
        ended = (codes_out[:, 0] == self.model.config.eos) | (row >= ints[:, columns.LIMIT])
        end = torch.where(ended, torch.minimum(end, row), end)
        past = (row - end)[:, None] - self.delays
        codes_out.masked_fill_(past == 0, self.model.config.eos).masked_fill_(past > 0, self.model.config.pad)
        progress = torch.stack([row, end], dim=1)
        if active is not None:
            codes_out = torch.where(active, codes_out, known)
            progress = torch.where(active, progress, ints[:, : columns.END + 1])
        self.codes[slots, row] = codes_out
        self.ints[slots, : columns.END + 1] = progress

    def frames_of(self, slots: Tensor, first_rows: Tensor, count: int) -> Tensor:
        """Return `count` frames of several slots with the delays undone, [B, count, channels]; non-codes
        become 0.

        slots: [B], int64. first_rows: [B], int64, the row of the first frame in the first channel.
        """
        rows = first_rows[:, None, None] + torch.arange(count, device=slots.device)[:, None] + self.delays
        channels = torch.arange(self.delays.shape[0], device=slots.device)
        codes = self.codes[slots[:, None, None], rows.clamp_(max=self.frames), channels]
        return codes.masked_fill_((codes < 0) | (codes >= self.model.config.eos), 0)


def sampling_tensors(ints: Tensor, floats: Tensor) -> SamplingTensors:
    floats, ks = floats[:, :, None, None], ints[:, :, None, None]
    return SamplingTensors(
        guidance=floats[:, columns.GUIDANCE],
        temperature=floats[:, columns.TEMPERATURE],
        top_p=floats[:, columns.TOP_P],
        filter_k=ks[:, columns.FILTER_K],
        top_k=ks[:, columns.TOP_K],
        seed=ints[:, columns.SEED, None],
    )
