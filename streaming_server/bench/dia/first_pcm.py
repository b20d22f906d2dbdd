"""Time from submitting a text to its first audio, with no other stream."""

from __future__ import annotations

import statistics
from typing import Any

from streaming_server.bench.dia.plan import FIRST_PCM_STEPS
from streaming_server.bench.dia.quantiles import quantiles
from streaming_server.bench.dia.sides import Sides
from streaming_server.bench.dia.speaking import speak

_STEPPING_S = 0.5
"""Time for which steps are timed beside each run."""


def first_pcm(sides: Sides) -> dict[str, Any]:
    """Measure first audio and its parts.

    prefill_ms, codec_ms, step_ms: the prefill, the first codec call and a step by themselves. steps: made
    until the first audio. in_steps: the whole time in steps; then without the prefill, and without the
    codec as well.
    """
    ours = sides.ours
    times: list[float] = []
    made: list[float] = []
    prefill: list[float] = []
    codec: list[float] = []
    step: list[float] = []
    for _ in range(sides.plan.first_pcm_runs):
        prefill.append(ours.prefill_ms())
        step.append(statistics.median(ours.step_times(1, _STEPPING_S).wall_ms))
        codec.append(ours.codec_ms())
        run = speak(ours, {0: 1}, FIRST_PCM_STEPS + 4)
        times.extend(run.first_pcm_ms)
        made.extend(run.first_pcm_steps)
    whole, reading, sounding, step_ms = map(statistics.median, (times, prefill, codec, step))
    sides.progress.note(f"{whole:.1f} ms, {reading:.1f} ms of it reading the text")
    return {
        **quantiles(times, "_ms"),
        "prefill_ms": reading,
        "codec_ms": sounding,
        "step_ms": step_ms,
        "steps": statistics.median(made),
        "in_steps": whole / step_ms,
        "without_prefill_in_steps": (whole - reading) / step_ms,
        "without_prefill_and_codec_in_steps": (whole - reading - sounding) / step_ms,
    }
