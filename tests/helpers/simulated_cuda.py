"""A simulated GPU: computes at once on the CPU, but reports completion late, like a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from streaming_server.engines.dia.serving.cuda import CapturedGraph, Cuda


class Event:
    """Completes `lateness` marks later, or when waited for."""

    def __init__(self, gpu: SimulatedCuda) -> None:
        self._gpu = gpu
        self._number = gpu.marks
        self._at_ms = gpu.clock_ms
        self._awaited = False

    def query(self) -> bool:
        return self._awaited or self._gpu.marks - self._number >= self._gpu.lateness

    def synchronize(self) -> None:
        self._awaited = True
        self._gpu.waits += 1

    def elapsed_time(self, end: Event) -> float:
        return end._at_ms - self._at_ms


class Stream:
    def __init__(self, urgent: bool = False) -> None:
        self.urgent = urgent
        self.recorded: list[Event] = []
        self.waited_for: list[Event] = []

    def wait_event(self, event: Event) -> None:
        self.waited_for.append(event)


class SimulatedCuda(Cuda):
    """cost_ms: of a replay, by the batch it is for. lateness: in marks. decoded: the shape of each output of
    a graph that is not urgent, as those of the codec are.
    """

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.lateness = 3
        self.marks = 0
        self.waits = 0
        self.captures = 0
        self.urgent_captures = 0
        self.clock_ms = 0.0
        self.decoded: list[tuple[int, ...]] = []
        self.current: Stream | None = None
        self.streams: list[Stream] = []
        self.cost_ms: Callable[[int], float] = lambda batch: 1.0

    def stream(self, urgent: bool = False) -> Stream:
        self.streams.append(Stream(urgent))
        return self.streams[-1]

    @contextmanager
    def _use_stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    def use_stream(self, stream: Any) -> Any:
        return self._use_stream(stream)

    def record_event(self, stream: Any, timing: bool = False) -> Event:
        self.marks += 1
        event = Event(self)
        if not timing:
            stream.recorded.append(event)
        return event

    def pinned(self, rows: ArrayLike) -> Tensor:
        return torch.from_numpy(np.array(rows, np.int64))

    def pinned_like(self, like: Tensor) -> Tensor:
        return torch.empty(like.shape, dtype=like.dtype)

    def pool(self) -> object:
        return object()

    def capture(self, body: Callable[[], Tensor], inputs: Tensor, stream: Any, pool: Any) -> CapturedGraph:
        self.captures += 1
        self.urgent_captures += stream.urgent
        with torch.inference_mode():
            output = body().clone()

        def replay() -> None:
            assert self.current is stream, "replayed on another stream than it was captured on"
            self.clock_ms += self.cost_ms(inputs.shape[1] if inputs.ndim > 1 else 1)
            with torch.inference_mode():
                output.copy_(body())
            if not stream.urgent:
                self.decoded.append(tuple(output.shape))

        return CapturedGraph(inputs, output, replay, self.pinned_like)

    def synchronize(self) -> None: ...

    def empty_cache(self) -> None: ...

    def clear_workspaces(self) -> None: ...
