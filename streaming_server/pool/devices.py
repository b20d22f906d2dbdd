"""The devices that get a worker."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streaming_server.errors import EngineFailure
from streaming_server.types import GpuMode


@dataclass(frozen=True, slots=True)
class Device:
    """The device of one worker.

    id: `gpu_N`, with N its physical id, or `cpu_N`; the name clients see. environment: variables that make
    the device the only one its process sees.
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
    """Return one device per worker.

    gpus: physical ids of the GPUs present; None if the engine uses no GPU. wanted: physical ids the operator
    named; empty for all; repeated ones count once. max_workers: the operator's limit. cpu_workers: workers on
    the CPU if there is no limit. Raise EngineFailure if a GPU was requested that is not present.
    """
    named = mode in ("single", "multi") or (mode == "auto" and bool(wanted))
    if mode == "cpu" or gpus is None or not (gpus or named):
        if named and gpus is None:
            raise EngineFailure("GPUs were requested, but this engine does not use any; set --gpu-mode=cpu.")
        count = max_workers or cpu_workers
        return [Device(f"cpu_{index}", {"CUDA_VISIBLE_DEVICES": ""}) for index in range(count)]
    if not gpus:
        raise EngineFailure("A GPU was requested, but none was found; set --gpu-mode=cpu to run without.")
    if missing := [gpu for gpu in wanted if gpu not in gpus]:
        raise EngineFailure(
            f"GPU {missing[0]} was requested, but the GPUs found are {list(gpus)}; correct --gpu-ids."
        )
    chosen = list(dict.fromkeys(wanted or gpus))
    if mode == "single":
        chosen = chosen[:1]
    if max_workers is not None:
        chosen = chosen[:max_workers]
    # NVML orders GPUs by bus id; CUDA orders them by speed unless told otherwise.
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return [Device(f"gpu_{gpu}", {"CUDA_VISIBLE_DEVICES": str(gpu), **order}) for gpu in chosen]


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[int]:
    """Return the physical ids of the GPUs this process may use, without loading CUDA.

    Raise EngineFailure if CUDA_VISIBLE_DEVICES names GPUs by anything but their physical ids.
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
        raise EngineFailure(f"CUDA_VISIBLE_DEVICES: {other[0]} is not a GPU's number; list numbers only.")
    return [int(part) for part in ids if part.isdigit() and int(part) in present]
