"""Milliseconds per step with one stream, the sides in turn."""

from __future__ import annotations

import gc
import statistics
from typing import Any

from streaming_server.bench.dia.plan import FRAME_MS, WARM_STEPS
from streaming_server.bench.dia.sides import Sides


def compare_steps(sides: Sides) -> dict[str, Any]:
    """Return medians over rounds, and each round's median.

    ours_host_us: the host's part of a step: the upload, the copies, launching the graph and reading
    results, without waits. Only if the device is not the host.
    """
    plan = sides.plan
    mine: list[float] = []
    host: list[float] = []
    theirs: list[float] = []
    for turn in range(plan.rounds):
        times = sides.ours.step_times(1)
        mine.append(statistics.median(times.wall_ms))
        host.append(statistics.median(times.host_us))
        if sides.reference is not None:
            theirs.append(statistics.median(sides.reference.generate(WARM_STEPS + plan.steps)[WARM_STEPS:]))
        beside = f", transformers {theirs[-1]:.2f} ms" if theirs else ""
        sides.progress.note(f"round {turn + 1} of {plan.rounds}: {mine[-1]:.2f} ms per step{beside}")
    result: dict[str, Any] = {
        "ours_ms": statistics.median(mine),
        "ours_rounds_ms": mine,
        "ours_times_real_time": FRAME_MS / statistics.median(mine),
    }
    if not plan.computes_on_host:
        result["ours_host_us"] = statistics.median(host)
    if theirs:
        result |= {
            "transformers_ms": statistics.median(theirs),
            "transformers_rounds_ms": theirs,
            "transformers_times_real_time": FRAME_MS / statistics.median(theirs),
            "times_as_fast": statistics.median(theirs) / statistics.median(mine),
        }
    return result


def compare_with_our_kernels(sides: Sides) -> dict[str, Any]:
    """Compare again with this engine's matrix products on both sides: what is left is the rest of it."""
    assert sides.reference is not None
    sides.reference.use_our_kernels()
    gc.collect()
    return compare_steps(sides)
