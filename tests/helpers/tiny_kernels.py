"""Slots of the tiny Dia, as the kernels' tests use them."""

from __future__ import annotations

from typing import Any

import torch

from streaming_server.engines.dia.model.config import TINY_DIA
from streaming_server.engines.dia.model.kv_cache import KVCacheView
from streaming_server.engines.dia.model.transformer import DiaModel
from streaming_server.engines.dia.serving.prefill import Beginning, Prefill
from streaming_server.engines.dia.serving.slots import SamplingParams, Slots
from streaming_server.engines.dia.voices.prompt import VoicePrompt
from streaming_server.engines.dia.weights.random_init import random_tensors
from streaming_server.engines.dia.weights.shapes import dia_shapes

FRAMES, TEXT = 128, 64
"""The longest stream and text."""


def tiny_model(device: str = "cpu", dtype: Any = torch.float32) -> DiaModel:
    """Louder than initial weights, so that every part of the model has a say in the logits."""
    noise = random_tensors(dia_shapes(TINY_DIA), torch.device("cpu"), torch.float32)
    tensors = {name: tensor if "norm" in name else tensor * 8 for name, tensor in noise}
    return DiaModel(TINY_DIA, {name: tensor.to(device, dtype) for name, tensor in tensors.items()})


@torch.inference_mode()
def slots_of(settings: list[SamplingParams], *, prefill: bool = False, pages: bool = False) -> Slots:
    """A slot for each; with `prefill`, each has a text, and every second one a prompt.

    pages: keep keys and values in pages, which the slots have in no order, and prefill with kernels.
    """
    count = len(settings)
    slots = Slots(tiny_model(), count, FRAMES, TEXT, pages=count * 4 if pages else None)
    if pages:
        table = slots.paged.table
        numbers = torch.randperm(table.numel(), generator=torch.Generator().manual_seed(1)) + 1
        table.copy_(numbers.view(table.shape))
    generator = torch.Generator().manual_seed(5)
    for slot, params in enumerate(settings):
        frames = 11 * slot if prefill and slot % 2 else 0
        prompt = torch.randint(0, 1024, (frames, 9), generator=generator)
        text = 7 + 13 * slot
        if not prefill:
            slots.begin(slot, prompt, text, params)
            continue
        ids = bytes(torch.randint(1, 256, (text,), generator=generator).tolist())
        begin(slots, slot, Beginning(ids, VoicePrompt("", prompt) if frames else None, params), pages)
    return slots


def begin(slots: Slots, slot: int, beginning: Beginning, pages: bool) -> None:
    """Prefill a slot, plainly or with kernels."""
    if not pages:
        for _ in Prefill(slots).pieces(slot, beginning):
            pass
        return
    from streaming_server.engines.dia.serving.fused_prefill import FusedPrefill

    prefill, text = FusedPrefill(slots), len(beginning.ids)
    ids = [*beginning.ids, *[0] * (slots.text - text)]
    prefill.read_text(torch.tensor([slot, text, *ids]))
    codes = beginning.prompt_codes(slots.codes.shape[2], slots.codes.device)
    rows = slots.begin(slot, codes, text, beginning.params) - 1
    prefill.feed_rows(torch.tensor([slot, 0, rows, text]))


@torch.inference_mode()
def fill(slots: Slots, slot_ids: list[int]) -> None:
    """One plain step of these slots."""
    chosen = torch.tensor(slot_ids)
    view = KVCacheView(slots.cache, chosen, slots.frames, slots.text)
    slots.step(view, chosen, None, slots.model.config.decoder.vocabulary, True)
