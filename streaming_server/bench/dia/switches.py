"""Each optimization on and off, and each precision: step times of small engines made for it."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from streaming_server.bench.dia.engine_under_test import EngineUnderTest
from streaming_server.bench.dia.machine import wait
from streaming_server.bench.dia.plan import Plan
from streaming_server.bench.dia.smoke import quantization_error
from streaming_server.engines.dia.model.linear import float8_kernel, int8_kernel
from streaming_server.engines.dia.serving.graphs import GraphRunner

_STREAMS = {"cpu": (1, 4), "cuda": (1, 8, 32)}
"""Batch sizes at which variants are compared; an engine of 32 slots takes 12 GB beside its weights."""

_SECONDS = {"cpu": 0.5, "cuda": 2.0}
_LENGTHS = (151, 152, 153, 151)
"""Text lengths whose attention is timed, each new to the device but the last."""


def kernels(plan: Plan, weights: dict[str, Tensor], on: bool) -> dict[str, Any]:
    """Time steps with Triton kernels, or with PyTorch's attention and masks. On a CPU both are the latter."""
    return _measured(replace(plan, use_triton=on), weights)


def fused_codec(plan: Plan, weights: dict[str, Tensor], on: bool) -> dict[str, Any]:
    """Time the codec's calls, in ms by batch and frames, fused in float16 or plain in float32.

    On a CPU, which has no graphs, of the first chunk, plain in both cases.
    """
    counts = _STREAMS[plan.device.type]
    with _engine(replace(plan, streams=counts, fused_codec=on), weights) as ours:
        runner = ours.runner
        if not isinstance(runner, GraphRunner):
            return {"codec_ms": {"1x10": ours.codec_ms()}}
        times = {
            f"{size}x{frames}": runner.codec_seconds(size, frames) for size, frames in runner.codec_sizes
        }
        return {"codec_ms": {name: seconds * 1e3 for name, seconds in times.items()}}


def small_products(plan: Plan, weights: dict[str, Tensor], on: bool) -> dict[str, Any]:
    """Time steps whose products of few rows are Triton's or cuBLAS's; on a CPU they are neither."""
    if not on and plan.device.type == "cuda":
        plan = replace(plan, matmul="library")
    return _measured(plan, weights)


def precision(plan: Plan, weights: dict[str, Tensor], name: str) -> dict[str, Any]:
    """Time steps in a precision; for weights of 8 bits also measure how far they move the logits."""
    if name in ("int8", "float8"):
        kernel = int8_kernel(plan.device) if name == "int8" else float8_kernel(plan.device)
        error = quantization_error(plan, weights, kernel)
        return _measured(replace(plan, matmul=kernel), weights) | {"relative_logit_error": error}
    dtype = getattr(torch, name)
    converted = {key: tensor.to(dtype) for key, tensor in weights.items()}
    return _measured(replace(plan, dtype=dtype, matmul=None), converted)


@torch.inference_mode()
def cudnn_attention(plan: Plan, weights: dict[str, Tensor], on: bool) -> dict[str, Any]:
    """Time the encoder's attention, in ms, at text lengths new to the device, and at one that is not."""
    before: bool = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    torch.backends.cuda.enable_cudnn_sdp(on)
    try:
        return {"attention_ms": [_attention_ms(plan, length) for length in _LENGTHS]}
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def _attention_ms(plan: Plan, length: int) -> float:
    e = plan.config.encoder
    q = torch.randn(1, e.heads, length, e.head_width, device=plan.device, dtype=plan.dtype)
    wait(plan.device)
    started = time.perf_counter()
    torch.nn.functional.scaled_dot_product_attention(q, q, q, scale=1.0)
    wait(plan.device)
    return (time.perf_counter() - started) * 1e3


def _measured(plan: Plan, weights: dict[str, Tensor]) -> dict[str, Any]:
    counts = _STREAMS[plan.device.type]
    with _engine(replace(plan, streams=counts), weights) as ours:
        seconds = _SECONDS[plan.device.type]
        return {
            "step_ms": {str(count): ours.median_step_ms(count, seconds) for count in counts},
            "runner": ours.described,
        }


@contextmanager
def _engine(plan: Plan, weights: dict[str, Tensor]) -> Iterator[EngineUnderTest]:
    ours = EngineUnderTest(plan, weights)
    try:
        yield ours
    finally:
        ours.engine.close()
        del ours
        gc.collect()
