"""Prefill of new streams, in the time that the others can spare."""

from __future__ import annotations

from collections.abc import Callable

import torch

from streaming_server.engines.dia.serving.runner import Runner, TimeBudget
from streaming_server.engines.dia.serving.schedule import Schedule
from streaming_server.engines.dia.serving.stream import Stream
from streaming_server.engines.dia.serving.streams import Streams

MIN_PREFILL_S = 0.006
"""Least time a step spends on prefill; half a frame."""

IDLE_PREFILL_S = 0.05
"""Time a step spends on prefill when no other stream waits for it."""


class PrefillQueue:
    """Prefills newcomers within a time budget per step.

    out_of_memory: called with a stream that must fail, because the device's memory ran out.
    """

    def __init__(
        self, runner: Runner, streams: Streams, schedule: Schedule, out_of_memory: Callable[[Stream], None]
    ) -> None:
        self._runner = runner
        self._streams = streams
        self._schedule = schedule
        self._out_of_memory = out_of_memory

    def run(self, step_s: float) -> None:
        """Prefill newcomers, the most urgent first; while others generate, no longer than a step takes."""
        newcomers = list(self._streams.newcomers.values())
        if not newcomers:
            return
        others = bool(self._schedule.running)
        seconds = max(MIN_PREFILL_S, step_s) if others else IDLE_PREFILL_S
        with self._runner.time_budget(seconds) as time_budget:
            for stream in sorted(newcomers, key=self._schedule.underrun_at):
                if self._prefill(stream, time_budget) and not others:
                    return
                if time_budget.exhausted:
                    return

    def _prefill(self, stream: Stream, time_budget: TimeBudget) -> bool:
        """Prefill until done or out of time; return whether the stream can generate now."""
        assert stream.prefill is not None
        try:
            for _ in stream.prefill:
                time_budget.spend()
                if time_budget.exhausted:
                    return False
            self._runner.reset_codec(stream.slot)
        except torch.OutOfMemoryError:
            self._out_of_memory(stream)
            return False
        self._streams.begin_generating(stream)
        return True
