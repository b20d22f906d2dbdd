"""Slots of the tiny Dia, as the kernels' tests use them."""

from __future__ import annotations

from typing import Any

import torch

from streaming_server.engines.dia.model.config import TINY_DIA
from streaming_server.engines.dia.model.kv_cache import KVCacheView
from streaming_server.engines.dia.model.transformer import DiaModel
from streaming_server.engines.dia.serving.slots import SamplingParams, Slots
from streaming_server.engines.dia.weights.random_init import random_tensors
from streaming_server.engines.dia.weights.shapes import dia_shapes


def tiny_model(device: str = "cpu", dtype: Any = torch.float32) -> DiaModel:
    """Louder than initial weights, so that every part of the model has a say in the logits."""
    noise = random_tensors(dia_shapes(TINY_DIA), torch.device("cpu"), torch.float32)
    tensors = {name: tensor if "norm" in name else tensor * 8 for name, tensor in noise}
    return DiaModel(TINY_DIA, {name: tensor.to(device, dtype) for name, tensor in tensors.items()})


@torch.inference_mode()
def slots_of(settings: list[SamplingParams], *, prefill: bool = False) -> Slots:
    """A slot for each; with `prefill`, each has a text, and every second one a prompt."""
    slots = Slots(tiny_model(), len(settings), frames=128, text=64)
    generator = torch.Generator().manual_seed(5)
    for slot, params in enumerate(settings):
        frames = 11 * slot if prefill and slot % 2 else 0
        prompt = torch.randint(0, 1024, (frames, 9), generator=generator)
        text = 7 + 13 * slot
        first = slots.begin(slot, prompt, text, params)
        if not prefill:
            continue
        *_, encoded = slots.model.encode(torch.randint(1, 256, (text,), generator=generator))
        assert encoded is not None
        for _ in slots.model.fill_cross_cache(encoded, slots.cache, slot):
            pass
        if first > 1:
            rows = slots.codes[slot, : first - 1]
            for _ in slots.model.prefill(rows, 0, text, slots.cache, slot, False):
                pass
    return slots


@torch.inference_mode()
def fill(slots: Slots, slot_ids: list[int]) -> None:
    """One plain step of these slots."""
    chosen = torch.tensor(slot_ids)
    view = KVCacheView(slots.cache, chosen, slots.frames, slots.text)
    slots.step(view, chosen, None, slots.model.config.decoder.vocabulary, True)
