"""Check that what is to be measured fits into memory."""

from __future__ import annotations

from dataclasses import replace

import torch

from streaming_server.bench.dia.plan import LEAST_SLOTS, Plan
from streaming_server.engines.dia.kernels import has_triton, supports
from streaming_server.engines.dia.model.codec import codec_slot_bytes
from streaming_server.engines.dia.model.kv_cache import slot_bytes
from streaming_server.engines.dia.model.paged_cache import PageLayout, page_bytes
from streaming_server.engines.dia.serving.capacity import SHARE, typical_pages
from streaming_server.engines.dia.serving.device import device_memory, require_room
from streaming_server.engines.dia.serving.load import weight_bytes

_BESIDES_BYTES = {"cpu": 500_000_000, "cuda": 3_000_000_000}
"""Memory of PyTorch and temporaries; on a GPU also of graphs and the bandwidth copy."""


def fitting(plan: Plan) -> tuple[Plan, list[str]]:
    """Return the plan with the streams that fit, and what it leaves out.

    Raises EngineFailure if not even the staggered requests fit.
    """
    memory = device_memory(plan.device)
    require_room(plan.device, needed_bytes(plan, LEAST_SLOTS), memory)
    free = memory.total - memory.used
    if _has_pages(plan):
        free = int(memory.total * SHARE) - memory.used
    counts = tuple(count for count in plan.streams if needed_bytes(plan, count) <= free)
    left_out = [
        f"{count} streams: {needed_bytes(plan, count) / 1e9:.0f} GB needed, {free / 1e9:.0f} GB free"
        for count in plan.streams
        if count not in counts
    ]
    return replace(plan, streams=counts), left_out


def needed_bytes(plan: Plan, slots: int) -> int:
    """Return the bytes of device memory that the weights, of one side or both, and the slots take."""
    sides = 1 + plan.reference
    longest = plan.config.decoder.positions, plan.config.encoder.positions
    each = slot_bytes(plan.config, *longest, plan.dtype)
    fixed = sides * weight_bytes(plan.config, plan.codec, plan.dtype) + _BESIDES_BYTES[plan.device.type]
    if _has_pages(plan):
        fixed += each
        each = typical_pages(PageLayout.of(plan.config, *longest)) * page_bytes(plan.config, plan.dtype)
    each += codec_slot_bytes(plan.codec, torch.float32)
    return fixed + each * max(slots, LEAST_SLOTS)


def _has_pages(plan: Plan) -> bool:
    """Return whether streams share pages of memory, as far as can be told before the engine is made."""
    usable = plan.use_triton and has_triton() and supports(plan.config, plan.dtype)
    return usable and plan.device.type == "cuda"
