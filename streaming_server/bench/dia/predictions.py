"""Predicted times of a step on an H100 and an H200, by the bytes it reads and the kernels it consists of.

`tests/results/dia-gpu.md` says what the figures assume, and what was measured.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import torch

from streaming_server.bench.dia.plan import Plan
from streaming_server.bench.dia.weights import step_bytes

BANDWIDTHS: Final = {"H100": 3.0e12, "H200": 4.3e12}
"""Bytes per second that a copy reads and writes."""

_REACHED: Final = 0.75
"""Share of a copy's bandwidth that kernels reach."""

_GAP_S: Final = 1.2e-6
"""Time between two kernels of a graph."""

FRAMES: Final = 430
TEXT_BYTES: Final = 150
"""Length of a stream in the middle of ten seconds, and of its text."""


def step_kernels(plan: Plan, streams: int) -> int:
    """Return the kernels of a step, one for each matrix product.

    With one stream the products include norms and SiLU. cuBLAS takes a second kernel where it splits one.
    """
    attention, products, others = 2, 6, 0 if streams == 1 else 4
    before_and_after = 5
    return plan.config.decoder.layers * (attention + products + others) + before_and_after


def cache_bytes(plan: Plan) -> int:
    """Return the bytes of keys and values that a step reads for each stream."""
    d = plan.config.decoder
    frames = 2 * 2 * d.kv_heads * d.head_width * FRAMES
    text = 2 * d.cross_heads * d.cross_head_width * TEXT_BYTES
    return d.layers * (frames + text) * plan.dtype.itemsize


def predicted_steps(plan: Plan, counts: tuple[int, ...]) -> dict[str, Any]:
    """Return, by the number of streams, kernels, bytes of weights and of the cache, and ms on each card.

    limit_ms: what reading the bytes alone takes.
    """
    exact = replace(plan, dtype=torch.bfloat16, matmul=None)
    weights = step_bytes(exact)
    found = {}
    for count in counts:
        kernels, cache = step_kernels(exact, count), count * cache_bytes(exact)
        found[str(count)] = {
            "kernels": kernels,
            "weights_gb": weights / 1e9,
            "cache_gb": cache / 1e9,
            "ms": {
                card: ((weights + cache) / (_REACHED * per_s) + kernels * _GAP_S) * 1e3
                for card, per_s in BANDWIDTHS.items()
            },
            "limit_ms": {card: (weights + cache) / per_s * 1e3 for card, per_s in BANDWIDTHS.items()},
        }
    return found
