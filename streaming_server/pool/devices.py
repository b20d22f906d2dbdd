"""Which devices get a worker."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streaming_server.errors import EngineFailure

GpuMode = Literal["auto", "single", "multi", "cpu"]


@dataclass(frozen=True, slots=True)
class Device:
    """Where one worker runs. `environment` is what its process needs to see only that device."""

    id: str
    environment: Mapping[str, str]


def choose_devices(
    *,
    mode: GpuMode,
    wanted: Sequence[int],
    gpus: Sequence[int],
    max_workers: int | None,
    cpu_workers: int,
) -> list[Device]:
    """One device per worker.

    gpus: physical ids of the GPUs the engine may use, empty for an engine that runs on the CPU.
    wanted: physical ids the operator named, empty for all. max_workers: the most the operator allows.
    cpu_workers: how many there are on the CPU unless the operator said. Raises EngineFailure for an id that
    is not there.
    """
    if missing := [gpu for gpu in wanted if gpus and gpu not in gpus]:
        raise EngineFailure(f"GPU {missing[0]} was asked for, but this machine shows {list(gpus)}.")
    chosen = list(wanted) if wanted and gpus else list(gpus)
    if mode == "cpu" or not chosen:
        if mode in ("single", "multi") and not gpus and wanted:
            raise EngineFailure("A GPU was asked for, but none is to be seen.")
        count = max_workers or cpu_workers
        return [Device(f"cpu:{index}", {"CUDA_VISIBLE_DEVICES": ""}) for index in range(count)]
    if mode == "single":
        chosen = chosen[:1]
    if max_workers is not None:
        chosen = chosen[:max_workers]
    # NVML numbers by bus; CUDA, unless told so too, by speed.
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return [Device(f"gpu:{gpu}", {"CUDA_VISIBLE_DEVICES": str(gpu), **order}) for gpu in chosen]


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[int]:
    """Physical ids of the GPUs this process may use, without loading CUDA into it."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        present = list(range(pynvml.nvmlDeviceGetCount()))
    finally:
        pynvml.nvmlShutdown()
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return present
    ids = [part.strip() for part in listed.split(",")]
    return [int(part) for part in ids if part.isdigit() and int(part) in present]
