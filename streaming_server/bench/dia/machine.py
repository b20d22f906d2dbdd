"""The machine that the figures are measured on: hardware, versions, memory and its bandwidth."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import resource
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streaming_server.engines.dia.serving.device import device_memory

_COPIED_BYTES = {"cpu": 2**28, "cuda": 2**30}
"""Size of the copy by which bandwidth is measured."""

_COPIES = 6


def machine(device: torch.device) -> dict[str, Any]:
    """Return hardware, versions and date."""
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": device_memory(torch.device("cpu")).total / 1e9,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "numpy": np.__version__,
        "safetensors": version("safetensors"),
    }
    if device.type == "cuda":
        found |= {
            "device_memory_gb": device_memory(device).total / 1e9,
            "cuda": torch.version.cuda,
            "driver": _driver(),
            "triton": version("triton"),
        }
    return found


def version(package: str) -> str | None:
    """Return the version of an installed package, else None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def wait(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def works(device: torch.device) -> bool:
    """Return whether the device computes. After most CUDA errors a process can use its GPU no more."""
    try:
        wait(device)
        return int(torch.ones(1, device=device).item()) == 1
    except RuntimeError:
        return False


def peak_memory(device: torch.device) -> float:
    """Return peak memory in GB: allocated by PyTorch on a GPU, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def memory(device: torch.device) -> dict[str, Any]:
    """Return the device's memory in GB, as the driver and as PyTorch count it."""
    report = device_memory(device)
    found = {"used": report.used / 1e9, "total": report.total / 1e9, "peak": peak_memory(device)}
    if device.type == "cuda":
        found |= {
            "allocated": torch.cuda.memory_allocated(device) / 1e9,
            "reserved": torch.cuda.memory_reserved(device) / 1e9,
        }
    return found


def bandwidth(device: torch.device) -> float:
    """Return the bytes per second that a copy reads and writes, at best; they limit steps of few streams."""
    source = torch.ones(_COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = math.inf
    for _ in range(_COPIES):
        wait(device)
        start = time.perf_counter()
        target.copy_(source)
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * source.numel() / best


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def _driver() -> str | None:
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except OSError:
        return None
