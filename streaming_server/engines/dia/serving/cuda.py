"""What the runner needs of CUDA: streams, events, pinned memory and graphs.

All that only a GPU has is here, so that the rest can be run against a simulated one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor


class Captured:
    """A graph with the buffer it reads and the tensor it leaves its result in, until the next replay."""

    __slots__ = ("inputs", "output", "replay")

    def __init__(self, inputs: Tensor, output: Tensor, replay: Callable[[], None]) -> None:
        self.inputs = inputs
        self.output = output
        self.replay = replay


class Cuda:
    """One GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cuda: Any = torch.cuda

    def stream(self) -> Any:
        """A new stream, which begins after what the current one has been given."""
        made = self._cuda.Stream(self.device)
        made.wait_stream(self._cuda.current_stream(self.device))
        return made

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        given: AbstractContextManager[Any] = self._cuda.stream(stream)
        return given

    def mark(self, stream: Any, timing: bool = False) -> Any:
        """An event at the end of what the stream has been given so far."""
        event = self._cuda.Event(enable_timing=timing)
        event.record(stream)
        return event

    def pinned(self, rows: list[list[int]]) -> Tensor:
        """Integers that the device can fetch by itself."""
        return torch.tensor(rows, dtype=torch.int64, pin_memory=True)

    def landing(self, like: Tensor) -> Tensor:
        """Host memory that the device can write such a tensor to by itself."""
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)

    def pool(self) -> Any:
        """Memory that graphs share which never run at the same time."""
        return self._cuda.graph_pool_handle()

    def capture(self, body: Callable[[], Tensor], inputs: Tensor, stream: Any, pool: Any) -> Captured:
        """Run once so that libraries set themselves up, then record. `inputs` must make it change nothing."""
        self.synchronize()
        with torch.inference_mode(), self.on(stream):
            body()
            stream.synchronize()
            graph = self._cuda.CUDAGraph()
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                output = body()
            finally:
                graph.capture_end()
        return Captured(inputs, output, graph.replay)

    def synchronize(self) -> None:
        self._cuda.synchronize(self.device)

    def give_back(self) -> None:
        """Memory that is held for later goes back to the device."""
        self._cuda.empty_cache()

    def clear_workspaces(self) -> None:
        """cuBLAS's memory goes back too. Graphs compute in it, so there must be none any more."""
        clear: Callable[[], None] | None = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
        if clear is not None:
            clear()
        self.give_back()
