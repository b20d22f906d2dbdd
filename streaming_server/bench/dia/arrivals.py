"""Measure underruns under Poisson arrivals, a few of them long."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from streaming_server.bench.dia.engine_under_test import EngineUnderTest
from streaming_server.bench.dia.plan import FRAME_MS, Plan
from streaming_server.bench.dia.quantiles import quantiles
from streaming_server.bench.dia.scale import host_part
from streaming_server.bench.dia.speaking import Run, arrive, cancel_all, listen

LONG_SHARE = 0.05
"""Share of streams of `LONG_FRAMES` frames."""

LONG_FRAMES = 2000
UNDERRUN_MS = 100.0
SMOOTH_SHARE = 0.99
"""Share of streams that must be without an underrun of more than `UNDERRUN_MS`."""

LATE_S = 2.0
"""A listener who has waited this long for the first audio counts as having had an underrun."""

_SECONDS = {"cpu": 2.0, "cuda": 12.0}
_FRAMES = {"cpu": (40, 120), "cuda": (430, 1290)}
"""Frames of a stream that is not long: 5 to 15 s on a GPU."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Poisson arrivals such that `listeners` listen at once on average, by Little's law."""

    listeners: int
    shortest: int
    longest: int

    def frames(self, dice: random.Random) -> int:
        """Return the length of a stream that arrives."""
        return LONG_FRAMES if dice.random() < LONG_SHARE else dice.randint(self.shortest, self.longest)

    def frames_left(self, dice: random.Random) -> int:
        """Return what is left of a stream that has arrived before.

        Longer streams are more likely to be in progress, at a uniformly random point.
        """
        while dice.random() * LONG_FRAMES > (frames := self.frames(dice)):
            pass
        return max(1, round(dice.random() * frames))

    @property
    def mean_s(self) -> float:
        usual = (self.shortest + self.longest) / 2
        return ((1 - LONG_SHARE) * usual + LONG_SHARE * LONG_FRAMES) * FRAME_MS / 1e3

    @property
    def per_s(self) -> float:
        return self.listeners / self.mean_s


def under_load(plan: Plan, ours: EngineUnderTest, listeners: int) -> dict[str, Any]:
    """Let streams arrive at random, so that on average `listeners` listen at once, from the beginning.

    smooth_share: of the streams, those without an underrun. sustained: whether they are enough. first_pcm: of
    those that arrived later than the first.
    """
    traffic = Traffic(listeners, *_FRAMES[plan.device.type])
    run = _drive(ours, traffic, _SECONDS[plan.device.type])
    later = [run.listeners[number] for number in run.listeners if number > listeners]
    now = run.started + run.seconds
    judged = [each for each in run.listeners.values() if each.playout.started or now - each.came > LATE_S]
    smooth = [each for each in judged if each.playout.started and each.playout.total * 1e3 <= UNDERRUN_MS]
    share = len(smooth) / len(judged) if judged else None
    return {
        "arrived": len(run.listeners),
        "judged": len(judged),
        "smooth_share": share,
        "sustained": share is not None and share >= SMOOTH_SHARE,
        "first_pcm": quantiles([e.first_pcm_ms for e in later if e.playout.started], "_ms"),
        **host_part(plan, run),
        "step_with_sound_ms": quantiles(run.step_ms),
        "longest_step_ms": max(run.step_ms, default=None),
        "longest_step_with_prefill_ms": max(run.newcomers_step_ms, default=None),
        "heard_s_per_s": run.heard_s / run.seconds,
    }


def _drive(ours: EngineUnderTest, traffic: Traffic, seconds: float) -> Run:
    dice, run = random.Random(traffic.listeners), Run()
    run.started = time.perf_counter()
    for number in range(1, traffic.listeners + 1):
        arrive(ours, run, number, traffic.frames_left(dice))
    due, number = dice.expovariate(traffic.per_s), traffic.listeners
    while (elapsed := time.perf_counter() - run.started) < seconds:
        while due <= elapsed:
            number += 1
            arrive(ours, run, number, traffic.frames(dice))
            due += dice.expovariate(traffic.per_s)
        if not ours.engine.active:
            time.sleep(min(0.001, max(0.0, due - elapsed)))
            continue
        listen(ours, run)
    run.seconds = time.perf_counter() - run.started
    cancel_all(ours, run)
    return run
