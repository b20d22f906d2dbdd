"""Device time of each graph and of its kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from streaming_server.bench.dia.engine_under_test import EngineUnderTest
from streaming_server.bench.dia.machine import wait
from streaming_server.bench.dia.plan import Plan
from streaming_server.engines.dia.serving.graphs import GraphRunner

_PROFILED_STEPS = 5
_TOP = 25
_ATTENTION = ("attention", "flash", "fmha", "softmax")
_PRODUCTS = (
    *("gemm", "gemv", "xmma", "cutlass", "cublas", "nvjet", "splitk", "mm", "linear"),
    *("_product_kernel", "_sum_kernel", "_matvec_kernel"),
)


@torch.inference_mode()
def graph_times(plan: Plan, ours: EngineUnderTest) -> dict[str, Any]:
    """Time every graph: steps by batch size, of streams of 12 s and 256 bytes of text; codec calls; prefill.

    Where there are no graphs, plain steps with short streams.
    """
    runner = ours.runner
    if not isinstance(runner, GraphRunner):
        counts = [count for count in plan.streams if count <= runner.slots.count]
        return {"step_ms": {str(count): ours.median_step_ms(count, 1.0) for count in counts}, "codec_ms": {}}
    return {
        "step_ms": {str(size): runner.step_seconds(size) * 1e3 for size in runner.step_sizes},
        "codec_ms": {
            f"{size}x{frames}": runner.codec_seconds(size, frames) * 1e3
            for size, frames in runner.codec_sizes
        },
        "prefill_ms": {name: seconds * 1e3 for name, seconds in runner.prefill_seconds().items()},
    }


@torch.inference_mode()
def kernel_times(plan: Plan, ours: EngineUnderTest) -> dict[str, Any]:
    """Return, per batch size, µs a step in attention, products, the rest and gaps, and the top kernels.

    A kernel that starts early counts from then, so with few streams they add up to more than the step.
    """
    runner, found = ours.runner, {}
    if not isinstance(runner, GraphRunner):
        events, wall_us = _profiled(plan, lambda: ours.step_times(1, 0.5), ProfilerActivity.CPU)
        return {"1": _breakdown(events, wall_us, 1, "self_cpu_time_total")}
    for size in runner.step_sizes:
        if size not in (1, 32, 128, runner.step_sizes[-1]):
            continue
        with runner.replaying(size) as replay:
            events, wall_us = _profiled(plan, _repeated(replay), ProfilerActivity.CUDA)
        found[str(size)] = _breakdown(events, wall_us, _PROFILED_STEPS, "device_time_total")
    return found


def _repeated(replay: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(_PROFILED_STEPS):
            replay()

    return run


def _profiled(
    plan: Plan, run: Callable[[], object], activity: ProfilerActivity
) -> tuple[list[FunctionEvent], float]:
    """Return the events of a run on its device, and the µs from the first to the last.

    Those of the host, which launches graphs, would count their kernels a second time.
    """
    run()
    wait(plan.device)
    with profile(activities=[activity]) as profiler:
        run()
        wait(plan.device)
    events = [event for event in profiler.events() or [] if event.device_type.name == activity.name]
    spans = [event.time_range for event in events]
    return events, float(max((s.end for s in spans), default=0) - min((s.start for s in spans), default=0))


def _breakdown(events: list[FunctionEvent], wall_us: float, steps: int, column: str) -> dict[str, Any]:
    spent: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for event in events:
        took = getattr(event, column)
        if took <= 0:
            continue
        spent[event.name] += took
        calls[event.name] += 1
        kinds[kind_of(event.name)] += took
    busy = sum(spent.values())
    return {
        **{f"{kind}_us": kinds[kind] / steps for kind in ("attention", "products", "rest")},
        "gaps_us": max(0.0, wall_us - busy) / steps,
        "kernels": calls.total() / steps,
        "top": [[name[:90], calls[name] / steps, us / steps] for name, us in spent.most_common(_TOP)],
    }


def kind_of(name: str) -> str:
    """Return `attention`, `products` or `rest` for a kernel."""
    lowered = name.lower()
    if any(part in lowered for part in _ATTENTION):
        return "attention"
    return "products" if any(part in lowered for part in _PRODUCTS) else "rest"
