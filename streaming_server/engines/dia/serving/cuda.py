"""CUDA streams, events, pinned memory and graphs, as the graph runner uses them.

Everything that needs a GPU is here, so that the runner can be tested on a simulated one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


class PinnedBuffers:
    """A free list of pinned buffers of one shape; allocating one takes longer than filling it.

    allocate: makes one more.
    """

    def __init__(self, allocate: Callable[[], Tensor]) -> None:
        self._allocate = allocate
        self._free: list[Tensor] = []

    def take(self) -> Tensor:
        """Return a buffer that nobody uses."""
        return self._free.pop() if self._free else self._allocate()

    def give_back(self, buffer: Tensor) -> None:
        """Let a buffer be taken again; no copy from or to it may be under way."""
        self._free.append(buffer)


class CapturedGraph:
    """A graph, the buffer it reads and the tensor that holds its output until the next replay.

    allocate: makes a pinned tensor like the one given.
    """

    __slots__ = ("downloads", "inputs", "output", "replay", "uploads")

    def __init__(
        self,
        inputs: Tensor,
        output: Tensor,
        replay: Callable[[], None],
        allocate: Callable[[Tensor], Tensor],
    ) -> None:
        self.inputs = inputs
        self.output = output
        self.replay = replay
        self.uploads = PinnedBuffers(lambda: allocate(inputs))
        self.downloads = PinnedBuffers(lambda: allocate(output))

    def launch(self, rows: NDArray[np.int64]) -> Launch:
        """Upload the inputs, replay the graph and download its output, all on the current CUDA stream."""
        upload, download = self.uploads.take(), self.downloads.take()
        upload.numpy()[...] = rows
        self.inputs.copy_(upload, non_blocking=True)
        self.replay()
        download.copy_(self.output, non_blocking=True)
        return Launch(self, upload, download)


class Launch:
    """A replay with its copies. Its output may be read once the device is done with it."""

    __slots__ = ("_download", "_graph", "_upload")

    def __init__(self, graph: CapturedGraph, upload: Tensor, download: Tensor) -> None:
        self._graph = graph
        self._upload = upload
        self._download = download

    @property
    def output(self) -> NDArray[Any]:
        """The output, until `release`."""
        return self._download.numpy()

    def release(self) -> None:
        """Give the buffers back. Call it once, when the device is done."""
        self._graph.uploads.give_back(self._upload)
        self._graph.downloads.give_back(self._download)


class Cuda:
    """One GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cuda: Any = torch.cuda

    def stream(self, urgent: bool = False) -> Any:
        """Create a CUDA stream that starts after the current one's pending work.

        urgent: whether its kernels, and those of graphs captured on it, go before those of others.
        """
        made = self._cuda.Stream(self.device, priority=-1 if urgent else 0)
        made.wait_stream(self._cuda.current_stream(self.device))
        return made

    def use_stream(self, stream: Any) -> AbstractContextManager[Any]:
        """Make a CUDA stream current within a `with` block."""
        given: AbstractContextManager[Any] = self._cuda.stream(stream)
        return given

    def record_event(self, stream: Any, timing: bool = False) -> Any:
        """Record an event after the CUDA stream's pending work."""
        event = self._cuda.Event(enable_timing=timing)
        event.record(stream)
        return event

    def pinned(self, rows: ArrayLike) -> Tensor:
        """Return a copy of integers in pinned memory, for asynchronous uploads."""
        # Contiguous, or the upload would make a copy in other memory and wait for it.
        return torch.from_numpy(np.ascontiguousarray(rows, np.int64)).pin_memory()

    def pinned_like(self, like: Tensor) -> Tensor:
        """Allocate such a tensor in pinned memory, for asynchronous copies."""
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
        return CapturedGraph(inputs, output, graph.replay, self.pinned_like)

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
