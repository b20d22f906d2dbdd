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
    """Where one worker runs. `environment` is what its process needs to see only that device.

    id: `gpu_0`, by its physical id, or `cpu_0`: the name it goes by wherever clients are told of it.
    """

    id: str
    environment: Mapping[str, str]


def choose_devices(
    *,
    mode: GpuMode,
    wanted: Sequence[int],
    gpus: Sequence[int] | None,
    max_workers: int | None,
    cpu_workers: int,
) -> list[Device]:
    """One device per worker.

    gpus: physical ids of the GPUs there are, None for an engine that uses none. wanted: physical ids the
    operator named, empty for all. max_workers: the most the operator allows. cpu_workers: how many there are
    on the CPU unless the operator said. Raises EngineFailure where GPUs were asked for that are not there.
    """
    named = mode in ("single", "multi") or (mode == "auto" and bool(wanted))
    if mode == "cpu" or gpus is None or not (gpus or named):
        if named and gpus is None:
            raise EngineFailure("GPUs were asked for, but this engine uses none.")
        count = max_workers or cpu_workers
        return [Device(f"cpu_{index}", {"CUDA_VISIBLE_DEVICES": ""}) for index in range(count)]
    if not gpus:
        raise EngineFailure("A GPU was asked for, but none is to be seen.")
    if missing := [gpu for gpu in wanted if gpu not in gpus]:
        raise EngineFailure(f"GPU {missing[0]} was asked for, but this machine shows {list(gpus)}.")
    chosen = list(wanted or gpus)
    if mode == "single":
        chosen = chosen[:1]
    if max_workers is not None:
        chosen = chosen[:max_workers]
    # NVML numbers by bus; CUDA, unless told so too, by speed.
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return [Device(f"gpu_{gpu}", {"CUDA_VISIBLE_DEVICES": str(gpu), **order}) for gpu in chosen]


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[int]:
    """Physical ids of the GPUs this process may use, without loading CUDA into it.

    Raises EngineFailure where CUDA_VISIBLE_DEVICES names GPUs otherwise than by such ids.
    """
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
    if present and (other := [part for part in ids if part and not part.lstrip("-").isdigit()]):
        raise EngineFailure(f"CUDA_VISIBLE_DEVICES: {other[0]} is not understood; GPUs are numbers here.")
    return [int(part) for part in ids if part.isdigit() and int(part) in present]
