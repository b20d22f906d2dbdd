"""Everything that is measured, one thing after another, as one document."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from streaming_server.bench.dia.bandwidth import bandwidth
from streaming_server.bench.dia.eight_bit import quantization_error
from streaming_server.bench.dia.first_pcm import first_pcm
from streaming_server.bench.dia.machine import machine, peak_memory
from streaming_server.bench.dia.ours import Ours
from streaming_server.bench.dia.plan import Plan
from streaming_server.bench.dia.progress import Progress
from streaming_server.bench.dia.reference import Reference
from streaming_server.bench.dia.room import fitting
from streaming_server.bench.dia.scale import at_scale
from streaming_server.bench.dia.sides import Sides
from streaming_server.bench.dia.staggered import staggered
from streaming_server.bench.dia.steps import compare_steps, compare_with_our_kernels
from streaming_server.bench.dia.weights import endless_weights, step_bytes


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing to measure. into: where in the report it belongs."""

    what: str
    measure: Callable[[Sides], Any]
    into: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """Raises EngineFailure, when run, where there is no room or no such device."""

    plan: Plan
    say: Callable[[str], None]
    not_measured: list[str] = field(default_factory=list)

    def run(self) -> dict[str, Any]:
        began = time.perf_counter()
        self.plan, self.not_measured = fitting(self.plan)
        self.not_measured += unmeasurable(self.plan)
        stages = list(stages_of(self.plan))
        progress = Progress(len(stages) + 2 + self.plan.reference + (self.plan.kernel == "int8"), self.say)
        found: dict[str, Any] = {"machine": machine(self.plan.device), "plan": self.plan.described()}
        sides = self._prepare(progress, found)
        for stage in stages:
            if self.plan.limit_s is not None and time.perf_counter() - began > self.plan.limit_s:
                self.not_measured.append(f"{stage.what}: the time was up")
                continue
            progress.begin(stage.what)
            _put(found, stage.into, stage.measure(sides))
        if "step" in found:
            found["share_of_bandwidth_limit"] = share_of_bandwidth(self.plan, found)
        found["peak_memory_gb"] = peak_memory(self.plan.device)
        found["seconds"] = time.perf_counter() - began
        found["not_measured"] = self.not_measured
        return found

    def _prepare(self, progress: Progress, found: dict[str, Any]) -> Sides:
        plan = self.plan
        progress.begin(f"random weights, {plan.size}, {plan.described()['dtype']}")
        tensors = endless_weights(plan)
        if plan.kernel == "int8":
            progress.begin("the error of 8-bit weights")
            found["int8_relative_logit_error"] = quantization_error(plan, tensors)
        progress.begin(f"this engine, with {plan.slots} slots")
        ours = self._ours(tensors, found)
        if not plan.reference:
            return Sides(plan, ours, None, progress)
        progress.begin("transformers")
        return Sides(plan, ours, Reference(plan, tensors), progress)

    def _ours(self, tensors: dict[str, Tensor], found: dict[str, Any]) -> Ours:
        before = _allocated(self.plan)
        ours = Ours(self.plan, tensors)
        found["plan"]["sampling"] = ours.sampling
        if not self.plan.computes_on_host:
            found["engine_memory_gb"] = (_allocated(self.plan) - before) / 1e9
        return ours


def unmeasurable(plan: Plan) -> list[str]:
    """What this machine, or what is installed on it, leaves out."""
    left_out = []
    if plan.computes_on_host:
        left_out += ["a GPU", "the host's time for a bare step: the host computes the step itself"]
    elif plan.reference and plan.kernel is None:
        left_out.append("the same matrix kernels on both sides: on a GPU they are the same anyway")
    if not plan.reference:
        left_out.append("transformers: not installed, or left out")
    return left_out


def stages_of(plan: Plan) -> Iterator[Stage]:
    yield Stage("memory bandwidth", lambda _: bandwidth(plan.device) / 1e9, ("bandwidth_gb_s",))
    yield Stage("a step with one stream", compare_steps, ("step",))
    yield Stage("first PCM", first_pcm, ("first_pcm",))
    for count in plan.streams:
        yield Stage(f"streams at once: {count}", partial(at_scale, count=count), ("streams", str(count)))
    yield Stage("four staggered requests", staggered, ("staggered",))
    if plan.reference and (plan.computes_on_host or plan.kernel is not None):
        what = "a step with the same matrix kernels on both sides"
        yield Stage(what, compare_with_our_kernels, ("same_kernels",))


def share_of_bandwidth(plan: Plan, found: dict[str, Any]) -> float:
    """Of the bandwidth, what reading each weight once in a step's time takes."""
    per_s = step_bytes(plan) / (found["step"]["ours_ms"] / 1e3)
    return float(per_s / (found["bandwidth_gb_s"] * 1e9))


def _put(found: dict[str, Any], into: tuple[str, ...], value: Any) -> None:
    for key in into[:-1]:
        found = found.setdefault(key, {})
    found[into[-1]] = value


def _allocated(plan: Plan) -> int:
    return torch.cuda.memory_allocated(plan.device) if plan.device.type == "cuda" else 0
