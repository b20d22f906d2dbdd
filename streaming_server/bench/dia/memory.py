"""Memory of the device, in gigabytes, as PyTorch and as the driver count it."""

from __future__ import annotations

from typing import Any

import torch

from streaming_server.bench.dia.machine import peak_memory
from streaming_server.bench.dia.plan import Plan
from streaming_server.engines.dia.serving.device import device_memory


def memory(plan: Plan) -> dict[str, Any]:
    report = device_memory(plan.device)
    found = {"used": report.used / 1e9, "total": report.total / 1e9, "peak": peak_memory(plan.device)}
    if plan.device.type == "cuda":
        found |= {
            "allocated": torch.cuda.memory_allocated(plan.device) / 1e9,
            "reserved": torch.cuda.memory_reserved(plan.device) / 1e9,
        }
    return found
