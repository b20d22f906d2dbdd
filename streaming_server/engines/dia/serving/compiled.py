"""Compiling the sampling, where the GPU and its compiler are up to it.

The matrix products of a step are the libraries' anyway; it is the sampling that is many small kernels.
Whether compiling works is found out with the real step on the real GPU, in every shape it is compiled for. A
failure is remembered for that GPU and these versions.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streaming_server.engines.dia.model.kv_cache import KVCacheView
from streaming_server.engines.dia.model.sampling import Sampler, sample_codes
from streaming_server.engines.dia.serving.slots import SamplingParams, Slots

_LOG = logging.getLogger(__name__)

_TRIALS = (SamplingParams(seed=1), SamplingParams(seed=1, top_k=None))
"""Candidates as usual, and all of them."""

_TRIAL_STEPS = 4

_TRIAL_STREAMS = (1, 2, 8)
"""The compiler treats one as a case of its own. With many, two roundings of one sum would differ some day."""

_FATAL: tuple[type[BaseException], ...] = (
    torch.OutOfMemoryError,
    getattr(torch, "AcceleratorError", torch.OutOfMemoryError),
)
"""Errors that say nothing of the compiler, or after which the device is of no more use."""


def failures_file() -> Path:
    """Where failures to compile are remembered; delete it to try again."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "streaming-server" / "torch-compile.json"


def compiled_choose(slots: Slots, failures: Path) -> Sampler:
    """`sampling.sample_codes` compiled, or as it is, after logging why.

    Speaks a few rows on the slots, which must be free.
    """
    key = _circumstances(slots)
    known = _read(failures)
    if key in known:
        _LOG.warning("torch.compile is not used: %s (remembered in %s)", known[key], failures)
        return sample_codes
    compiled, reason = _try(slots)
    if reason is not None:
        _LOG.warning("torch.compile is not used: %s", reason)
        _write(failures, known | {key: reason})
    return compiled


def _try(slots: Slots) -> tuple[Sampler, str | None]:
    """The compiled function, and what is wrong with it."""
    try:
        compiled: Sampler = torch.compile(sample_codes, dynamic=True)
        for count in sorted({min(streams, slots.count) for streams in _TRIAL_STREAMS}):
            for params in _TRIALS:
                if not torch.equal(
                    _trial(slots, sample_codes, count, params), _trial(slots, compiled, count, params)
                ):
                    return sample_codes, "compiled steps speak other codes"
    except _FATAL:
        raise
    except Exception as error:  # Whatever a compiler comes up with: there is another way.
        lines = str(error).strip().splitlines()
        return sample_codes, f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
    finally:
        slots.sampler = sample_codes
    return compiled, None


def _trial(slots: Slots, sampler: Sampler, count: int, params: SamplingParams) -> Tensor:
    """The first rows that steps with this sampler speak on so many slots."""
    slots.sampler = sampler
    nothing = torch.zeros(0, slots.codes.shape[2], dtype=torch.int64, device=slots.codes.device)
    for slot in range(count):
        slots.begin(slot, nothing, 1, params)
    slot_ids = slice(0, count)
    view = KVCacheView(slots.cache, slot_ids, min(64, slots.frames), min(64, slots.text))
    for _ in range(_TRIAL_STEPS):
        slots.step(view, slot_ids, None, slots.candidates(params), True)
    return slots.codes[:count, : _TRIAL_STEPS + 1].clone()


def _circumstances(slots: Slots) -> str:
    """What a verdict holds for."""
    device = slots.model.device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    try:
        triton = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        triton = "none"
    return f"{gpu}, {slots.model.dtype}, PyTorch {torch.__version__}, Triton {triton}"


def _read(failures: Path) -> dict[str, str]:
    try:
        known: Any = json.loads(failures.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(failures: Path, known: dict[str, str]) -> None:
    try:
        failures.parent.mkdir(parents=True, exist_ok=True)
        failures.write_text(json.dumps(known, indent=2))
    except OSError as error:
        _LOG.info("what was found out about torch.compile cannot be kept: %s", error)
