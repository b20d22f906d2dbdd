"""Many streams at once."""

from __future__ import annotations

import statistics
from typing import Any

from streaming_server.bench.dia.plan import FRAMES_AT_SCALE, SECONDS_AT_SCALE, Plan
from streaming_server.bench.dia.quantiles import quantiles
from streaming_server.bench.dia.sides import Sides
from streaming_server.bench.dia.speaking import Run, speak


def at_scale(sides: Sides, count: int) -> dict[str, Any]:
    """Submit `count` texts at once and generate them together.

    step_ms: of the model alone. in_real_time: whether the streams together got as much audio as time
    passed. silent_ms: per stream, how long a listener who plays at once had nothing to play. cut: whether
    the time limit ended the run.
    """
    plan = sides.plan
    limit_s = SECONDS_AT_SCALE[plan.device.type]
    step_ms = sides.ours.median_step_ms(count, limit_s)
    sides.note(f"{step_ms:.2f} ms per step")
    run = speak(sides.ours, {0: count}, FRAMES_AT_SCALE[plan.device.type], limit_s)
    each = run.heard_s / count / run.seconds
    sides.note(f"{each:.2f} times real time each, sound included")
    return {
        "step_ms": step_ms,
        "step_with_sound_ms": quantiles(run.step_ms),
        **host_part(plan, run),
        "times_real_time_each": each,
        "times_real_time_together": run.heard_s / run.seconds,
        "realtime_streams": each >= 1,
        "silent_ms": quantiles(run.silent_ms),
        "seconds": run.seconds,
        "cut": run.cut,
        "first_pcm": _first_pcm(run, step_ms),
    }


def host_part(plan: Plan, run: Run) -> dict[str, Any]:
    """Return the host's part of the engine's steps; on a CPU its computing is left out."""
    name = "host_beside_computing_us" if plan.computes_on_host else "host_us"
    mean = statistics.fmean(run.host_us) if run.host_us else None
    return {
        name: quantiles(run.host_us) | {"mean": mean},
        f"{name}_with_newcomers": quantiles(run.host_newcomers_us),
    }


def _first_pcm(run: Run, step_ms: float) -> dict[str, Any]:
    """Return the time to first audio; in_steps: in steps of this batch.

    steps: made until the first audio. all_prepared_ms: when the last of the texts, which come all at once,
    was encoded.
    """
    times = quantiles(run.first_pcm_ms)
    middle = times["p50"]
    return {
        **{f"{name}_ms": value for name, value in times.items()},
        "steps": quantiles(run.first_pcm_steps)["p50"],
        "in_steps": None if middle is None else middle / step_ms,
        "all_prepared_ms": run.prepared_s * 1e3,
    }
