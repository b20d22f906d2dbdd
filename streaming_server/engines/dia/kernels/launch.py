"""Programmatic dependent launch: a kernel starts while the one before it on the stream still runs.

A program prefetches (weights, for example) before it waits for the previous kernel's results.
Every kernel of a chain that starts early must wait in all its programs, because the next one relies on it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@cache
def overlaps(device: torch.device) -> bool:
    """Return whether kernels on this device can start early: NVIDIA's from sm_90 on."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (9, 0)


def options(overlap: bool) -> dict[str, Any]:
    """Return the launch options of a kernel that starts early, or not."""
    return {"launch_pdl": True} if overlap else {}


@triton.jit
def let_next_start():
    """Let the next kernel start once all programs of this one have come here."""
    gdc_launch_dependents()


@triton.jit
def wait_for_previous():
    """Wait until the kernel before this one is complete and its results can be read."""
    gdc_wait()
