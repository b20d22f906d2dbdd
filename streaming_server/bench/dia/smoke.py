"""Check that the device computes what the CPU does: logits, audio, and the codes of steps in graphs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from streaming_server.bench.dia.engine_under_test import begin
from streaming_server.bench.dia.plan import TEXT, Plan
from streaming_server.engines.dia.kernels import has_triton
from streaming_server.engines.dia.model.codec import UNKNOWN_LENGTH
from streaming_server.engines.dia.model.kv_cache import KVCache
from streaming_server.engines.dia.model.linear import Kernel
from streaming_server.engines.dia.model.transformer import DiaModel
from streaming_server.engines.dia.serving.load import assemble, make_codec
from streaming_server.engines.dia.serving.runner import Runner, StepShape
from streaming_server.engines.dia.serving.slots import SamplingParams, Slots
from streaming_server.engines.dia.weights.hub import locate
from streaming_server.engines.dia.weights.loader import read_codec

_LIMITS = {torch.float32: 2e-3, torch.bfloat16: 5e-2, torch.float16: 8e-3, torch.float64: 1e-6}
"""Relative error of the logits against float32 on the CPU that a precision may have. On a CPU bfloat16 has
2.5e-2 at full size."""

_CODEC_LIMITS = {False: 1e-4, True: 5e-3}
"""The same for audio, with TF32 off and on."""

_FUSED_CODEC_LIMIT = 5e-3
"""The same for the fused codec in float16, of which 1.1e-3 is expected."""

_LEAST_SHARES = {torch.float32: 0.97, torch.bfloat16: 0.7, torch.float16: 0.9, torch.float64: 0.99}
"""Share of codes that steps in graphs must have in common with plain steps after the same codes. bfloat16 and
float32 agree on 95 % of them at full size with random weights; a wrong kernel on one in a thousand."""

_ROWS = 40
_STEPS = 40
_SLOTS = 6
_BATCHES = ([0], [0, 1, 2], [1, 4], [0, 1, 2, 3, 4, 5])
"""Slots that advance together."""

_CPU = torch.device("cpu")
_T = TypeVar("_T")


@torch.inference_mode()
def smoke(plan: Plan, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Compare the device with the CPU. ok: whether everything is within its limit.

    Errors are norms of differences, relative.
    """
    tensors = _calmed(plan, weights, _CPU, torch.float32)
    expected = _logits(plan, tensors, _CPU, torch.float32)
    found: dict[str, Any] = {"ok": True, "logits": {}, "codec": {}, "steps": {}}
    for dtype in sorted({torch.float32, plan.dtype}, key=str):
        error = _relative(_logits(plan, tensors, plan.device, dtype), expected)
        found["logits"][str(dtype).removeprefix("torch.")] = error
        found["ok"] &= error < _LIMITS[dtype]
    sound = read_codec(locate(f"random:{plan.size}", "DIA_CODEC"), plan.codec, _CPU, torch.float32)
    heard = _audio(plan, sound, _CPU)
    before = torch.backends.cudnn.allow_tf32
    for tf32, limit in _CODEC_LIMITS.items():
        torch.backends.cudnn.allow_tf32 = tf32
        error = _relative(_audio(plan, sound, plan.device), heard)
        found["codec"]["tf32" if tf32 else "exact"] = error
        found["ok"] &= error < limit
    torch.backends.cudnn.allow_tf32 = before
    if fused_codec_works(plan):
        error = _relative(_audio(plan, sound, plan.device, fused=True), heard)
        found["codec"]["fused_float16"] = error
        found["ok"] &= error < _FUSED_CODEC_LIMIT
    for dtype in sorted({torch.float32, plan.dtype}, key=str):
        steps = _compare_steps(replace(plan, dtype=dtype), tensors, sound)
        found["steps"][str(dtype).removeprefix("torch.")] = steps
        found["ok"] &= steps["repeats"] and steps["like_plain"] >= _LEAST_SHARES[dtype]
    return found


@torch.inference_mode()
def quantization_error(plan: Plan, weights: dict[str, Tensor], kernel: Kernel) -> float:
    """Return how far 8-bit weights move the logits: norm of the difference, relative."""
    tensors = _calmed(plan, weights, plan.device, plan.dtype)
    exact, small = (_logits(plan, tensors, plan.device, plan.dtype, each) for each in (None, kernel))
    return _relative(small, exact)


def _calmed(
    plan: Plan, weights: dict[str, Tensor], device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return the weights with queries scaled by 1 / √(head width), as training folds it into them.

    Random ones attend so sharply that any rounding changes what is attended to.
    """
    scale = 1 / math.sqrt(plan.config.decoder.head_width)
    return {
        name: (tensor * scale if "q_proj" in name else tensor).to(device, dtype)
        for name, tensor in weights.items()
    }


def _logits(
    plan: Plan,
    tensors: dict[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
    kernel: Kernel | None = None,
) -> Tensor:
    model = DiaModel(
        plan.config, {name: tensor.to(device, dtype) for name, tensor in tensors.items()}, kernel
    )
    cache = KVCache.empty(plan.config, 1, 64, 256, device, dtype)
    ids = torch.tensor(list(TEXT.encode()), device=device)
    encoded = _last(model.encode(ids))
    for _ in model.fill_cross_cache(encoded, cache, 0):
        pass
    rows = torch.randint(0, 1024, (_ROWS, 9), generator=torch.Generator().manual_seed(0)).to(device)
    return _last(model.prefill(rows, 0, len(ids), cache, 0))


def fused_codec_works(plan: Plan) -> bool:
    """Return whether the codec can be fused, as far as can be told before the engine is made."""
    return plan.use_triton and plan.device.type == "cuda" and has_triton()


def _audio(plan: Plan, tensors: dict[str, Tensor], device: torch.device, fused: bool = False) -> Tensor:
    codes = torch.randint(0, 1024, (2, 32, 9), generator=torch.Generator().manual_seed(1)).to(device)
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    codec = make_codec(plan.codec, tensors, 2, fused)
    zero = torch.zeros(2, dtype=torch.int64, device=device)
    slots = torch.arange(2, device=device)
    return codec.decode(codes, slots, zero, zero + UNKNOWN_LENGTH)[:, codec.lag :]


def _compare_steps(plan: Plan, tensors: dict[str, Tensor], sound: dict[str, Tensor]) -> dict[str, Any]:
    """Compare the runner's steps with themselves and with plain steps, for batches of different slots.

    repeats: whether a second run gives the same codes. like_plain: share of codes that equal those of plain
    steps. Each step continues from the plain steps' codes, or one rounding would change all that follows.
    """
    codec = {name: tensor.to(plan.device) for name, tensor in sound.items()}

    def on_device() -> dict[str, Tensor]:
        return {name: tensor.to(plan.device, plan.dtype) for name, tensor in tensors.items()}

    plain = Runner(Slots(DiaModel(plan.config, on_device()), _SLOTS), make_codec(plan.codec, codec, 1, False))
    expected = [_codes(plain, slot_ids) for slot_ids in _BATCHES]
    plain.close()
    del plain  # The two need not fit into memory together.
    runner = assemble(plan.config, on_device(), plan.codec, codec, _SLOTS, None, plan.use_triton)
    generated = torch.arange(_STEPS + 1)[:, None] > torch.tensor(plan.config.delays)
    repeats, shares = True, []
    for slot_ids, wanted in zip(_BATCHES, expected, strict=True):
        repeats &= torch.equal(_codes(runner, slot_ids), _codes(runner, slot_ids))
        alike = _codes(runner, slot_ids, wanted) == wanted
        shares.append(float(alike[:, generated].float().mean()))
    runner.close()
    return {"runner": type(runner).__name__, "repeats": repeats, "like_plain": sum(shares) / len(shares)}


def _codes(runner: Runner, slot_ids: list[int], forced: Tensor | None = None) -> Tensor:
    """Return the codes of a few greedy steps, [slots, rows, channels].

    forced: rows that replace those generated before the next step reads them.
    """
    slots, text = runner.slots, len(TEXT.encode())
    with runner.compute_scope():
        for slot in slot_ids:
            begin(runner, slot, SamplingParams(temperature=0.0), _STEPS + 1)
        rows = [slots.codes[slot_ids, 0].cpu()]
        for row in range(1, _STEPS + 1):
            runner.step(slot_ids, StepShape(row + 1, text, 80, False))
            runner.throttle()
            rows.append(slots.codes[slot_ids, row].cpu())
            if forced is not None:
                slots.codes[slot_ids, row] = forced[:, row].to(slots.codes.device)
        runner.read_ends(wait=True)
        for slot in slot_ids:
            runner.release(slot)
    return torch.stack(rows, dim=1)


def _last(layers: Iterator[_T | None]) -> _T:
    *_, last = layers
    assert last is not None
    return last


def _relative(found: Tensor, expected: Tensor) -> float:
    found, expected = found.double().cpu(), expected.double().cpu()
    return float((found - expected).norm() / expected.norm())
