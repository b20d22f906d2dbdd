"""Compiling the sampling, where the GPU and its compiler are up to it.

The matrix products of a step are the libraries' anyway; it is the sampling that is many small kernels.
Whether compiling works is found out with the real step on the real GPU; a failure is remembered per GPU.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streaming_server.engines.dia.model import CacheView
from streaming_server.engines.dia.sampling import Chooser, choose
from streaming_server.engines.dia.slots import Recipe, Slots

_LOG = logging.getLogger(__name__)

_TRIAL = Recipe(seed=1)
_TRIAL_STEPS = 4


def verdicts_file() -> Path:
    """Where failures to compile are remembered; delete it to try again."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "streaming-server" / "torch-compile.json"


def compiled_choose(slots: Slots, verdicts: Path) -> Chooser:
    """`sampling.choose` compiled, or as it is, after logging why.

    Speaks a few rows on the first slot, which must be free.
    """
    key = f"{_gpu_name(slots.model.device)}, PyTorch {torch.__version__}"
    known = _read(verdicts)
    if key in known:
        _LOG.warning("torch.compile is not used: %s (remembered in %s)", known[key], verdicts)
        return choose
    try:
        compiled: Chooser = torch.compile(choose, dynamic=True)
        agree = torch.equal(_trial(slots, choose), _trial(slots, compiled))
        reason = None if agree else "compiled steps speak other codes"
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ImportError, OSError, AssertionError, TypeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
    finally:
        slots.choose = choose
    if reason is None:
        return compiled
    _LOG.warning("torch.compile is not used: %s", reason)
    _write(verdicts, known | {key: reason})
    return choose


def _trial(slots: Slots, chooser: Chooser) -> Tensor:
    """The first rows that steps with this chooser speak."""
    slots.choose = chooser
    nothing = torch.zeros(0, slots.codes.shape[2], dtype=torch.int64, device=slots.codes.device)
    slots.begin(0, nothing, 1, _TRIAL)
    lanes = slice(0, 1)
    view = CacheView(slots.caches, lanes, min(64, slots.frames), min(64, slots.text))
    for _ in range(_TRIAL_STEPS):
        slots.step(view, lanes, None, slots.breadth(_TRIAL), True)
    return slots.codes[0, : _TRIAL_STEPS + 1].clone()


def _gpu_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _read(verdicts: Path) -> dict[str, str]:
    try:
        known: Any = json.loads(verdicts.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(verdicts: Path, known: dict[str, str]) -> None:
    try:
        verdicts.parent.mkdir(parents=True, exist_ok=True)
        verdicts.write_text(json.dumps(known, indent=2))
    except OSError as error:
        _LOG.info("what was found out about torch.compile cannot be kept: %s", error)
