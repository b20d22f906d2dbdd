"""The machine that the figures were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streaming_server.engines.dia.serving.device import device_memory


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


def peak_memory(device: torch.device) -> float:
    """Return peak memory in GB: allocated by PyTorch on a GPU, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


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
