"""CUDA streams, events, pinned memory and graphs, as the graph runner uses them.

Everything that needs a GPU is here, so that the runner can be tested on a simulated one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


class CapturedGraph:
    """A graph, the buffer it reads and the tensor that holds its output until the next replay."""

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

    def stream(self, urgent: bool = False) -> Any:
        """Create a stream that starts after the current stream's pending work.

        urgent: whether its kernels, and those of graphs captured on it, go before those of other streams.
        """
        made = self._cuda.Stream(self.device, priority=-1 if urgent else 0)
        made.wait_stream(self._cuda.current_stream(self.device))
        return made

    def use_stream(self, stream: Any) -> AbstractContextManager[Any]:
        """Make a stream current within a `with` block."""
        given: AbstractContextManager[Any] = self._cuda.stream(stream)
        return given

    def record_event(self, stream: Any, timing: bool = False) -> Any:
        """Record an event after the stream's pending work."""
        event = self._cuda.Event(enable_timing=timing)
        event.record(stream)
        return event

    def pinned(self, rows: ArrayLike) -> Tensor:
        """Return a copy of integers in pinned memory, for asynchronous uploads."""
        # Contiguous, or the upload would make a copy in other memory and wait for it.
        return torch.from_numpy(np.ascontiguousarray(rows, np.int64)).pin_memory()

    def pinned_like(self, like: Tensor) -> Tensor:
        """Allocate pinned memory for an asynchronous download of such a tensor."""
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)

    def pool(self) -> Any:
        """Create a memory pool for graphs that never run at the same time."""
        return self._cuda.graph_pool_handle()

    def capture(self, body: Callable[[], Tensor], inputs: Tensor, stream: Any, pool: Any) -> CapturedGraph:
        """Run `body` once so that libraries initialize, then capture it.

        With `inputs` as given it must change nothing. Raises what `body` raises.
        """
        self.synchronize()
        with torch.inference_mode(), self.use_stream(stream):
            body()
            stream.synchronize()
            graph = self._cuda.CUDAGraph()
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                output = body()
            except BaseException:
                with suppress(RuntimeError):  # The capture is invalid, which says less than the cause.
                    graph.capture_end()
                raise
            graph.capture_end()
        return CapturedGraph(inputs, output, graph.replay)

    def synchronize(self) -> None:
        """Wait until the device is idle."""
        self._cuda.synchronize(self.device)

    def empty_cache(self) -> None:
        """Return cached memory to the device."""
        self._cuda.empty_cache()

    def clear_workspaces(self) -> None:
        """Free cuBLAS's workspaces. Graphs use them, so all graphs must be gone."""
        clear: Callable[[], None] | None = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
        if clear is not None:
            clear()
        self.empty_cache()
