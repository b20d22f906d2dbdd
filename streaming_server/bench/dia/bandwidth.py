"""Memory bandwidth, which limits a step with few streams."""

from __future__ import annotations

import math
import time

import torch

from streaming_server.bench.dia.machine import wait

_BYTES = {"cpu": 2**28, "cuda": 2**30}
_RUNS = 6


def bandwidth(device: torch.device) -> float:
    """Return the bytes per second that a copy reads and writes, at best."""
    source = torch.ones(_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = math.inf
    for _ in range(_RUNS):
        wait(device)
        start = time.perf_counter()
        target.copy_(source)
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * source.numel() / best
