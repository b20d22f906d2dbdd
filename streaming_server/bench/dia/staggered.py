"""Four requests, an eighth of their length apart, against transformers serving them in turn."""

from __future__ import annotations

import statistics
import time
from typing import Any

from streaming_server.bench.dia.plan import LEAST_SLOTS, WARM_STEPS
from streaming_server.bench.dia.sides import Sides
from streaming_server.bench.dia.speaking import speak


def staggered(sides: Sides) -> dict[str, Any]:
    """Return the seconds until all are generated. This engine's include the codec, transformers' do not."""
    plan = sides.plan
    frames = WARM_STEPS + plan.steps
    arrivals = {index * frames // 8: 1 for index in range(LEAST_SLOTS)}
    mine: list[float] = []
    theirs: list[float] = []
    rounds = max(1, plan.rounds // 2)
    for turn in range(rounds):
        mine.append(speak(sides.ours, arrivals, frames).seconds)
        if sides.reference is not None:
            start = time.perf_counter()
            for _ in range(LEAST_SLOTS):
                sides.reference.generate(frames + plan.config.last_delay + 1)
            theirs.append(time.perf_counter() - start)
        beside = f", transformers {theirs[-1]:.2f} s" if theirs else ""
        sides.progress.note(f"round {turn + 1} of {rounds}: {mine[-1]:.2f} s{beside}")
    result: dict[str, Any] = {
        "ours_s": statistics.median(mine),
        "frames": frames,
        "ours_includes_sound": True,
    }
    if theirs:
        result["transformers_in_turn_s"] = statistics.median(theirs)
        result["share"] = statistics.median(mine) / statistics.median(theirs)
    return result
