"""The error of int8 weights."""

from __future__ import annotations

import gc
import math

import torch
from torch import Tensor

from streaming_server.bench.dia.plan import TEXT, Plan
from streaming_server.engines.dia.model.kv_cache import KVCache
from streaming_server.engines.dia.model.linear import Kernel, int8_kernel
from streaming_server.engines.dia.model.transformer import DiaModel

_ROWS = 24


def quantization_error(plan: Plan, tensors: dict[str, Tensor]) -> float:
    """Return how far int8 weights move the logits: norm of the difference, relative.

    Queries are scaled by 1 / √(head width), as training folds it into them: random ones attend so sharply
    that any rounding changes what is attended to.
    """
    width = plan.config.decoder.head_width
    tensors = {name: _calm(name, tensor, width) for name, tensor in tensors.items()}
    exact, small = _logits(plan, tensors, None), _logits(plan, tensors, int8_kernel(plan.device))
    return float((small - exact).norm() / exact.norm())


def _calm(name: str, tensor: Tensor, head_width: int) -> Tensor:
    return tensor / math.sqrt(head_width) if "q_proj" in name else tensor


@torch.inference_mode()
def _logits(plan: Plan, tensors: dict[str, Tensor], kernel: Kernel | None) -> Tensor:
    rows = torch.randint(0, 1024, (_ROWS, 9), generator=torch.Generator().manual_seed(0)).to(plan.device)
    ids = torch.tensor(list(TEXT.encode()), device=plan.device)
    model = DiaModel(plan.config, dict(tensors), kernel)
    cache = KVCache.empty(plan.config, 1, 64, 256, plan.device, plan.dtype)
    encoded = next(layer for layer in model.encode(ids) if layer is not None)
    for _ in model.fill_cross_cache(encoded, cache, 0):
        pass
    logits = list(model.prefill(rows, 0, len(ids), cache, 0))[-1]
    assert logits is not None
    del model, cache
    gc.collect()
    return logits.float()
