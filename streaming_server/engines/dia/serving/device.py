"""Choose a device and a precision, and check its memory."""

from __future__ import annotations

import torch

from streaming_server.engines.memory import machine_memory
from streaming_server.errors import EngineFailure
from streaming_server.types import MemoryReport

FULL_MODEL_BYTES = 3_500_000_000
"""Free memory required before loading the published model."""

_GB = 1e9


def pick_device(name: str | None) -> torch.device:
    """Parse `cuda`, `cuda:1`, `cpu`, …; None selects the first GPU, or the CPU. Raises EngineFailure."""
    if name is None:
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineFailure(f"{name} is not a device that PyTorch supports.") from error
    if device.type not in ("cpu", "cuda"):
        raise EngineFailure(f"Dia runs on cuda and cpu, not on {device.type}.")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise EngineFailure("PyTorch finds no CUDA device; install its CUDA build or use cpu.")
        device = torch.device("cuda", device.index or 0)
        if device.index >= torch.cuda.device_count():
            raise EngineFailure(
                f"{device} does not exist: PyTorch finds {torch.cuda.device_count()} CUDA devices."
            )
    return device


def use_device(device: torch.device) -> None:
    """Make a GPU this process's current one. Triton launches there, wherever a kernel's arguments are."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def pick_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """Parse a precision. None selects bfloat16 on GPUs that support it, else float16; float32 on a CPU.

    Raises EngineFailure.
    """
    if name is not None:
        named = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}.get(name, name)
        if named not in ("bfloat16", "float16", "float32", "float64"):
            raise EngineFailure(f"{name} is not a supported precision; use bfloat16, float16 or float32.")
        dtype: torch.dtype = getattr(torch, named)
        return dtype
    if device.type == "cpu":
        return torch.float32
    # Earlier GPUs accept bfloat16 but emulate it slowly.
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def avoid_cudnn_attention() -> None:
    """Keep scaled_dot_product_attention off cuDNN, for this process.

    On sm_90 cuDNN is the first choice and builds a plan for every new shape: 55 ms to 1 s for each new text
    length, while all streams wait. Call it before the first attention.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def device_memory(device: torch.device) -> MemoryReport:
    """Return used and total memory of the whole device; of the whole machine for a CPU."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return MemoryReport(total - free, total)
    return machine_memory()


def require_room(device: torch.device, needed: int, memory: MemoryReport) -> None:
    """Raise EngineFailure, with both figures, if less than `needed` bytes are free."""
    free = memory.total - memory.used
    if free < needed:
        raise EngineFailure(
            f"The model and one voice need {needed / _GB:.1f} GB on {device}, where {free / _GB:.1f} GB of "
            f"{memory.total / _GB:.1f} GB are free; use --quantize int8 or stop other programs on it."
        )
