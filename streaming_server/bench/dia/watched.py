"""Whose time a step of the engine takes: the host's own, or the device's that it waits for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming_server.engines.dia.serving.runner import Load, Meter, Piece, Runner


class Watched:
    """A runner, and the seconds in it that are not the host's own.

    Those are its waits for the device: `keep_pace`, and `ends` and `sound` when told to wait. With
    `computes`, where the runner computes on the host, they are its computing as well: `step`, `decode`, and
    all that is metered, which is the reading of texts and prompts.

    elsewhere_s: these seconds. metered: how often newcomers were prepared. prepared_at: when last, by
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

    def keep_pace(self) -> None:
        start = time.perf_counter()
        self._runner.keep_pace()
        self._count(start, True)

    def ends(self, wait: bool = False) -> tuple[int, list[int]]:
        start = time.perf_counter()
        ends = self._runner.ends(wait)
        self._count(start, wait)
        return ends

    def sound(self, wait: bool) -> list[tuple[Piece, NDArray[np.int16]]]:
        start = time.perf_counter()
        sound = self._runner.sound(wait)
        self._count(start, wait)
        return sound

    def step(self, lanes: Sequence[int], load: Load) -> None:
        start = time.perf_counter()
        self._runner.step(lanes, load)
        self._count(start, self._computes)

    def decode(self, pieces: Sequence[Piece], frames: int) -> None:
        start = time.perf_counter()
        self._runner.decode(pieces, frames)
        self._count(start, self._computes)

    @contextmanager
    def meter(self, seconds: float) -> Iterator[Meter]:
        start = time.perf_counter()
        with self._runner.meter(seconds) as meter:
            yield meter
        self._count(start, self._computes)
        self.metered += 1
        self.prepared_at = time.perf_counter()

    def _count(self, start: float, elsewhere: bool) -> None:
        if elsewhere:
            self.elsewhere_s += time.perf_counter() - start
