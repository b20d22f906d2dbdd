"""Prefill of one stream in pieces: encode its text, then feed its prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from streaming_server.engines.dia.model.kv_cache import BRANCHES
from streaming_server.engines.dia.serving.context import VoicePrompt
from streaming_server.engines.dia.serving.slots import SamplingParams, Slots
from streaming_server.engines.dia.voices.prefix_cache import PrefixCache

PIECE_ROWS = {"cpu": 32, "cuda": 128}
"""Rows of a prompt fed at a time: one layer of them takes less than a step."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The inputs of a stream's prefill.

    ids: its text. prompt: the voice it continues, if any. recurs: whether others will continue it, too.
    """

    ids: bytes
    prompt: VoicePrompt | None
    recurs: bool
    params: SamplingParams

    def prompt_codes(self, channels: int, device: torch.device) -> Tensor:
        if self.prompt is None:
            return torch.zeros(0, channels, dtype=torch.int64, device=device)
        return self.prompt.codes.to(device, non_blocking=True)


class Prefill:
    """Plain prefill of these slots, which have no pages.

    The keys and values of a prompt in the unconditional branch do not depend on the text; those of prompts
    that recur are kept.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._prefixes = PrefixCache()
        self._piece_rows = PIECE_ROWS[slots.model.device.type]

    def pieces(self, slot: int, beginning: Beginning) -> Iterator[None]:
        """Prefill a slot, yielding after every layer."""
        model, slots = self._slots.model, self._slots
        codes = beginning.prompt_codes(model.config.decoder.channels, model.device)
        text = len(beginning.ids)
        ids = torch.tensor(list(beginning.ids), dtype=torch.int64).to(model.device, non_blocking=True)
        encoded = ids
        for layer in model.encode(ids):
            if layer is not None:
                encoded = layer
            yield
        yield from model.fill_cross_cache(encoded, slots.cache, slot)
        first = slots.begin(slot, codes, text, beginning.params)
        known = self._prefixes.get(beginning.prompt) if beginning.prompt is not None else None
        branches = BRANCHES if known is None else 1
        for start in range(0, first - 1, self._piece_rows):
            rows = slots.codes[slot, start : min(start + self._piece_rows, first - 1)]
            for _ in model.prefill(rows, start, text, slots.cache, slot, False, branches):
                yield
        if known is not None:
            for self_kv, keys_and_values in zip(slots.cache.self_kv, known, strict=True):
                self_kv[slot, 1, :, :, : first - 1] = keys_and_values
        elif beginning.prompt is not None and beginning.recurs:
            prefix = [self_kv[slot, 1, :, :, : first - 1].clone() for self_kv in slots.cache.self_kv]
            self._prefixes.put(beginning.prompt, prefix)

    def clear(self) -> None:
        """Forget the prompts that recur."""
        self._prefixes.clear()
