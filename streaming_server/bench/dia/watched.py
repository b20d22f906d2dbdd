"""Tell the host's own part of a step from its waits for the device."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming_server.engines.dia.serving.runner import AudioChunk, Runner, StepShape, TimeBudget


class Watched:
    """A runner that adds up the seconds that are not the host's own.

    Those are its waits: `throttle`, and `read_ends` and `collect_audio` with `wait`. With `computes`, for
    a runner that computes on the host, also its computing: `step`, `decode`, and all within a time budget,
    which is prefill.

    elsewhere_s: these seconds. metered: steps that ran a prefill. prepared_at: when the last did, by
    `time.perf_counter`.
    """

    def __init__(self, runner: Runner, computes: bool) -> None:
        self._runner = runner
        self._computes = computes
        self.elsewhere_s = 0.0
        self.metered = 0
        self.prepared_at = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def throttle(self) -> None:
        start = time.perf_counter()
        self._runner.throttle()
        self._count(start, True)

    def read_ends(self, wait: bool = False) -> tuple[int, NDArray[np.int64]]:
        start = time.perf_counter()
        ends = self._runner.read_ends(wait)
        self._count(start, wait)
        return ends

    def collect_audio(self, wait: bool) -> list[tuple[AudioChunk, NDArray[np.int16]]]:
        start = time.perf_counter()
        audio = self._runner.collect_audio(wait)
        self._count(start, wait)
        return audio

    def step(self, slot_ids: Sequence[int], shape: StepShape) -> None:
        start = time.perf_counter()
        self._runner.step(slot_ids, shape)
        self._count(start, self._computes)

    def decode(self, chunks: Sequence[AudioChunk], frames: int) -> None:
        start = time.perf_counter()
        self._runner.decode(chunks, frames)
        self._count(start, self._computes)

    @contextmanager
    def time_budget(self, seconds: float) -> Iterator[TimeBudget]:
        start = time.perf_counter()
        with self._runner.time_budget(seconds) as time_budget:
            yield time_budget
        self._count(start, self._computes)
        self.metered += 1
        self.prepared_at = time.perf_counter()

    def _count(self, start: float, elsewhere: bool) -> None:
        if elsewhere:
            self.elsewhere_s += time.perf_counter() - start
