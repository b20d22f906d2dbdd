"""Triton kernels of the decode step, of prefill and of the codec. They work with triton 3.6 to 3.9.

Every kernel has a plain PyTorch counterpart in `model`, with which tests compare it in Triton's interpreter.
This module imports without triton; the others need it.
"""

from __future__ import annotations

import importlib.util

import torch

from streaming_server.engines.dia.model.config import DiaConfig


def has_triton() -> bool:
    """Return whether triton is installed."""
    return importlib.util.find_spec("triton") is not None


def supports(config: DiaConfig, dtype: torch.dtype) -> bool:
    """Return whether the kernels cover this model: not in float64, and heads a power of two wide."""
    d = config.decoder
    widths = (d.head_width, d.cross_head_width)
    powers = all(width >= 16 and width & (width - 1) == 0 for width in widths)
    return powers and dtype in (torch.bfloat16, torch.float16, torch.float32)
