"""Whether what is to be measured fits into memory."""

from __future__ import annotations

from dataclasses import replace

import torch

from streaming_server.bench.dia.plan import LEAST_SLOTS, Plan
from streaming_server.engines.dia.model.codec import codec_slot_bytes
from streaming_server.engines.dia.model.kv_cache import slot_bytes
from streaming_server.engines.dia.serving.device import device_memory, require_room
from streaming_server.engines.dia.serving.load import weight_bytes

_BESIDES_BYTES = {"cpu": 500_000_000, "cuda": 3_000_000_000}
"""What PyTorch and passing results take; on a GPU the graphs and the copy that measures it, too."""


def fitting(plan: Plan) -> tuple[Plan, list[str]]:
    """The plan with the streams there is room for, and what it leaves out.

    Raises EngineFailure where there is not even room for the staggered requests.
    """
    require_room(plan.device, needed_bytes(plan, LEAST_SLOTS))
    memory = device_memory(plan.device)
    free = memory.total - memory.used
    counts = tuple(count for count in plan.streams if needed_bytes(plan, count) <= free)
    left_out = [
        f"{count} streams: {needed_bytes(plan, count) / 1e9:.0f} GB needed, {free / 1e9:.0f} GB free"
        for count in plan.streams
        if count not in counts
    ]
    return replace(plan, streams=counts), left_out


def needed_bytes(plan: Plan, slots: int) -> int:
    """Memory of the device for the weights, on one side or both, and so many slots."""
    sides = 1 + plan.reference
    each = slot_bytes(plan.config, plan.config.decoder.positions, plan.config.encoder.positions, plan.dtype)
    each += codec_slot_bytes(plan.codec, torch.float32)
    fixed = sides * weight_bytes(plan.config, plan.codec, plan.dtype) + _BESIDES_BYTES[plan.device.type]
    return fixed + each * max(slots, LEAST_SLOTS)
