"""Prefill of one stream in pieces: encode its text, then feed its prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from streaming_server.engines.dia.serving.slots import SamplingParams, Slots
from streaming_server.engines.dia.voices.prompt import VoicePrompt

PIECE_ROWS: Final = 128
"""Rows of a prompt fed at a time on a GPU, 1.5 s of audio: with both branches about as long as two steps."""

_CPU_PIECE_ROWS: Final = 32
"""The same on a CPU, where one layer of them takes less than a step."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The inputs of a stream's prefill. ids: its text. prompt: the voice it continues, if any."""

    ids: bytes
    prompt: VoicePrompt | None
    params: SamplingParams

    def prompt_codes(self, channels: int, device: torch.device) -> Tensor:
        if self.prompt is None:
            return torch.zeros(0, channels, dtype=torch.int64, device=device)
        return self.prompt.codes.to(device, non_blocking=True)


class Prefill:
    """Plain prefill of these slots, which have no pages."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._piece_rows = _CPU_PIECE_ROWS if slots.model.device.type == "cpu" else PIECE_ROWS

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
        for start in range(0, first - 1, self._piece_rows):
            rows = slots.codes[slot, start : min(start + self._piece_rows, first - 1)]
            for _ in model.prefill(rows, start, text, slots.cache, slot, with_logits=False):
                yield
