"""The two sides that are compared: this engine, and transformers' `generate` on the same weights."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streaming_server.bench.dia.engine_under_test import EngineUnderTest
from streaming_server.bench.dia.plan import FRAME_MS, LEAST_SLOTS, WARM_STEPS, Plan
from streaming_server.bench.dia.reference import Reference
from streaming_server.bench.dia.speaking import speak


@dataclass(frozen=True, slots=True)
class Sides:
    """reference: None if this engine is measured alone. note: takes a line about the stage that runs."""

    plan: Plan
    ours: EngineUnderTest
    reference: Reference | None
    note: Callable[[str], None]


def compare_steps(sides: Sides) -> dict[str, Any]:
    """Return the milliseconds of a step with one stream: medians over rounds, and each round's median.

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
        sides.note(f"round {turn + 1} of {plan.rounds}: {mine[-1]:.2f} ms per step{beside}")
    result = _steps("ours", mine)
    if not plan.computes_on_host:
        result["ours_host_us"] = statistics.median(host)
    if theirs:
        times_as_fast = statistics.median(theirs) / statistics.median(mine)
        result |= _steps("transformers", theirs) | {"times_as_fast": times_as_fast}
    return result


def _steps(side: str, rounds_ms: list[float]) -> dict[str, Any]:
    median = statistics.median(rounds_ms)
    return {
        f"{side}_ms": median,
        f"{side}_rounds_ms": rounds_ms,
        f"{side}_times_real_time": FRAME_MS / median,
    }


def compare_with_our_kernels(sides: Sides) -> dict[str, Any]:
    """Compare again with this engine's matrix products on both sides: what is left is the rest of it."""
    assert sides.reference is not None
    sides.reference.use_our_kernels()
    gc.collect()
    return compare_steps(sides)


def staggered(sides: Sides) -> dict[str, Any]:
    """Return the seconds until four requests, an eighth of their length apart, are generated.

    transformers serves them in turn. This engine's time includes the codec, transformers' does not.
    """
    plan, reference = sides.plan, sides.reference
    frames = WARM_STEPS + plan.steps
    arrivals = {index * frames // 8: 1 for index in range(LEAST_SLOTS)}
    mine: list[float] = []
    theirs: list[float] = []
    rounds = max(1, plan.rounds // 2)
    for turn in range(rounds):
        mine.append(speak(sides.ours, arrivals, frames).seconds)
        if reference is not None:
            start = time.perf_counter()
            for _ in range(LEAST_SLOTS):
                reference.generate(frames + plan.config.last_delay + 1)
            theirs.append(time.perf_counter() - start)
        beside = f", transformers {theirs[-1]:.2f} s" if theirs else ""
        sides.note(f"round {turn + 1} of {rounds}: {mine[-1]:.2f} s{beside}")
    ours_s = statistics.median(mine)
    result: dict[str, Any] = {"ours_s": ours_s, "frames": frames, "ours_includes_sound": True}
    if theirs:
        theirs_s = statistics.median(theirs)
        result |= {"transformers_in_turn_s": theirs_s, "share": ours_s / theirs_s}
    return result
