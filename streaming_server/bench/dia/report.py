"""Measure everything, one stage after another, into one document."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from streaming_server.bench.dia import switches
from streaming_server.bench.dia.arrivals import under_load
from streaming_server.bench.dia.engine_under_test import EngineUnderTest
from streaming_server.bench.dia.first_pcm import cloned_first_pcm, first_pcm, varied_first_pcm
from streaming_server.bench.dia.graph_times import graph_times, kernel_times
from streaming_server.bench.dia.host_time import host_time
from streaming_server.bench.dia.machine import bandwidth, machine, memory, peak_memory, works
from streaming_server.bench.dia.memory_fit import fitting
from streaming_server.bench.dia.plan import Plan
from streaming_server.bench.dia.predictions import predicted_steps
from streaming_server.bench.dia.reference import Reference
from streaming_server.bench.dia.reference_process import transformers_alone
from streaming_server.bench.dia.scale import at_scale
from streaming_server.bench.dia.sides import (
    Sides,
    compare_steps,
    compare_with_our_kernels,
    staggered,
)
from streaming_server.bench.dia.smoke import quantization_error, smoke
from streaming_server.bench.dia.stages import Stage, StageRunner
from streaming_server.bench.dia.weights import EIGHT_BITS, endless_weights, step_bytes
from streaming_server.engines.dia.serving.device import use_device


class DiaReport:
    """Measure everything.

    say: called with each progress line. write: called with the report before and after every stage.
    """

    def __init__(
        self, plan: Plan, say: Callable[[str], None], write: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        self.plan = plan
        self._write = write
        self._say = say
        self._sides: Sides | None = None
        self._unmade: str | None = None
        self._tensors: dict[str, Tensor] | None = None

    def run(self, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """Measure what is not in the report of an earlier process.

        Raises EngineFailure if there is no such device or no room for the least, and DeviceLost.
        """
        use_device(self.plan.device)
        self.plan, left_out = fitting(self.plan)
        found: dict[str, Any] = before or {
            "machine": machine(self.plan.device),
            "plan": self.plan.described(),
            "predicted_steps": predicted_steps(self.plan, self.plan.streams),
            "stages": [],
            "tracebacks": {},
            "not_measured": left_out + unmeasurable(self.plan),
        }
        stages = list(self._all_stages() if self.plan.staged else self._usual_stages())
        runner = StageRunner(
            found, self.plan.limit_s, self._say, self._write, len(stages), partial(works, self.plan.device)
        )
        for stage in stages:
            runner.run(stage)
        _conclude(self.plan, found)
        self._write(found)
        return found

    def _usual_stages(self) -> Iterator[Stage]:
        plan = self.plan
        if plan.matmul in EIGHT_BITS:
            measure = self._on_weights(partial(quantization_error, kernel=plan.matmul))
            yield Stage("the error of 8-bit weights", measure, ("int8_relative_logit_error",))
        yield self._bandwidth()
        yield self._making()
        yield Stage("a step with one stream", self._with(compare_steps), ("step",))
        yield Stage("first PCM", self._with(first_pcm), ("first_pcm",))
        for count in plan.streams:
            measure = self._with(partial(at_scale, count=count))
            yield Stage(f"streams at once: {count}", measure, ("streams", str(count)))
        yield Stage("four staggered requests", self._with(staggered), ("staggered",))
        if plan.reference and (plan.computes_on_host or plan.matmul is not None):
            what = "a step with the same matrix kernels on both sides"
            yield Stage(what, self._with(compare_with_our_kernels), ("same_kernels",))

    def _all_stages(self) -> Iterator[Stage]:
        """Return the stages, most important first, since the run may be cut short."""
        plan = self.plan
        yield Stage("smoke", self._on_weights(smoke), ("smoke",), decisive=True)
        yield self._bandwidth()
        yield replace(self._making(), decisive=False)
        yield Stage("memory", lambda: memory(plan.device), ("memory", "with_the_engine"))
        yield Stage("a step with one stream", self._with(compare_steps), ("step",))
        yield Stage("first PCM", self._with(first_pcm), ("first_pcm",))
        varied, cloned = self._on_ours(varied_first_pcm), self._on_ours(cloned_first_pcm)
        yield Stage("first PCM, texts of many lengths", varied, ("first_pcm_varied",))
        yield Stage("first PCM, a cloned voice", cloned, ("first_pcm_cloned",))
        yield Stage("ms per graph", self._on_ours(graph_times), ("graphs",))
        for count in plan.streams:
            measure = self._on_ours(partial(under_load, listeners=count))
            yield Stage(f"listeners at once: {count}", measure, ("load", str(count)))
        yield Stage("host time, without a device", host_time, ("host_alone",))
        yield Stage("kernel times", self._on_ours(kernel_times), ("kernels",))
        yield Stage("memory after the load", lambda: memory(plan.device), ("memory", "after_the_load"))
        yield Stage("closing the engine", self._close, ("memory", "closed"))
        yield from self._switches()
        for name in ("float32", "bfloat16", "float8", "int8"):
            measure = self._on_weights(partial(switches.precision, name=name))
            yield Stage(f"precision {name}", measure, ("precisions", name))
        if plan.reference:
            yield Stage("transformers", lambda: transformers_alone(plan), ("transformers",))

    def _switches(self) -> Iterator[Stage]:
        for on, name in ((True, "on"), (False, "off")):
            for what, measure in {
                "kernels": switches.kernels,
                "fused codec": switches.fused_codec,
                "small products": switches.small_products,
                "cuDNN attention": switches.cudnn_attention,
            }.items():
                into = ("switches", what.lower().replace(" ", "_"), name)
                yield Stage(f"{what} {name}", self._on_weights(partial(measure, on=on)), into)

    def _bandwidth(self) -> Stage:
        return Stage("memory bandwidth", lambda: bandwidth(self.plan.device) / 1e9, ("bandwidth_gb_s",))

    def _making(self) -> Stage:
        return Stage(
            f"making the engine, with {self.plan.slots} slots", self._make, ("engine",), decisive=True
        )

    def _make(self) -> dict[str, Any]:
        plan = self.plan
        before = _allocated(plan)
        self._unmade = "see the stage that makes it"
        tensors = self._weights()
        ours = EngineUnderTest(plan, tensors)
        # In stages transformers runs last, alone: it must cost this engine neither memory nor time.
        reference = Reference(plan, tensors) if plan.reference and not plan.staged else None
        self._sides = Sides(plan, ours, reference, lambda line: self._say(f"{'':>6}{line}"))
        found: dict[str, Any] = {"runner": ours.described}
        if not plan.computes_on_host:
            found["memory_gb"] = (_allocated(plan) - before) / 1e9
        return found

    def _weights(self) -> dict[str, Tensor]:
        """Return random weights, made once: that takes a while at full size."""
        if self._tensors is None:
            self._tensors = endless_weights(self.plan)
        return self._tensors

    def _close(self) -> dict[str, Any]:
        if self._sides is not None:
            self._sides.ours.engine.close()
            self._sides = None
        return memory(self.plan.device)

    def _made(self) -> Sides:
        """Return both sides; make them if an earlier process, which has died, had made them."""
        if self._sides is None:
            if self._unmade is not None:
                raise RuntimeError(f"the engine could not be made: {self._unmade}")
            self._make()
        assert self._sides is not None
        return self._sides

    def _with(self, measure: Callable[[Sides], Any]) -> Callable[[], Any]:
        return lambda: measure(self._made())

    def _on_weights(self, measure: Callable[[Plan, dict[str, Tensor]], Any]) -> Callable[[], Any]:
        return lambda: measure(self.plan, self._weights())

    def _on_ours(self, measure: Callable[[Plan, EngineUnderTest], Any]) -> Callable[[], Any]:
        return lambda: measure(self.plan, self._made().ours)


def unmeasurable(plan: Plan) -> list[str]:
    """Return what this machine, or what is installed on it, leaves out."""
    left_out = []
    if plan.computes_on_host:
        left_out += ["a GPU", "the host's time for a bare step: the host computes the step itself"]
    elif plan.reference and plan.matmul is None and not plan.staged:
        left_out.append("the same matrix kernels on both sides: on a GPU they are the same anyway")
    if not plan.reference:
        left_out.append("transformers: not installed, or left out")
    return left_out


def share_of_bandwidth(plan: Plan, found: dict[str, Any]) -> float:
    """Return the share of the bandwidth that reading each weight once in a step's time takes."""
    per_s = step_bytes(plan) / (found["step"]["ours_ms"] / 1e3)
    return float(per_s / (found["bandwidth_gb_s"] * 1e9))


def _conclude(plan: Plan, found: dict[str, Any]) -> None:
    """Add what follows from several stages."""
    if "step" in found and "bandwidth_gb_s" in found:
        found["share_of_bandwidth_limit"] = share_of_bandwidth(plan, found)
    if "step" in found and "transformers" in found:
        found["times_as_fast"] = found["transformers"]["step_ms"] / found["step"]["ours_ms"]
    if "load" in found:
        sustained = [int(count) for count, load in found["load"].items() if load["sustained"]]
        found["listeners_sustained"] = max(sustained, default=0)
    found["peak_memory_gb"] = peak_memory(plan.device)


def _allocated(plan: Plan) -> int:
    return torch.cuda.memory_allocated(plan.device) if plan.device.type == "cuda" else 0
