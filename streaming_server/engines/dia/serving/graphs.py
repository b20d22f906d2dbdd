"""The runner for a GPU: CUDA graphs on two CUDA streams, one for the model, one for the codec and the copies.

A step is one upload, one graph and one download; its result is read when the download has arrived, a few
steps later. Only `throttle` and calls with `wait` wait for the device. All graphs are captured before any
stream is served. The model's CUDA stream goes before the codec's, whose audio is due a chunk later.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.model.codec import Codec
from streaming_server.engines.dia.serving.codec_graphs import CODEC_BATCH, CodecGraphs
from streaming_server.engines.dia.serving.cuda import CapturedGraph, Cuda, Launch
from streaming_server.engines.dia.serving.graph_timer import graph_seconds, raise_clocks
from streaming_server.engines.dia.serving.page_table import PageTable
from streaming_server.engines.dia.serving.prefill import Beginning
from streaming_server.engines.dia.serving.prefill_graphs import PrefillGraphs
from streaming_server.engines.dia.serving.runner import AudioChunk, Runner, StepShape, TimeBudget
from streaming_server.engines.dia.serving.slots import NO_END, Slots
from streaming_server.engines.dia.serving.step_graphs import FusedSteps, MaskedSteps, sizes

log = logging.getLogger(__name__)

AHEAD: Final = 3
"""Steps the host may be ahead of the device."""

_FIRST_GUESS_S: Final = 0.001
"""Assumed time of one piece of prefill before any was measured."""

_STEADY: Final = 0.9
"""Share of a frame's time that a step may take to count as real time."""


class DeviceTimeBudget(TimeBudget):
    """Count pieces, since the host is done with them long before the device is.

    seconds_each: recent time of a piece on the device.
    """

    def __init__(self, seconds: float, seconds_each: float, runner: GraphRunner) -> None:
        super().__init__(seconds)
        self.pieces = 0
        self._most = max(1, int(seconds / seconds_each))
        self._runner = runner

    def spend(self) -> None:
        self.pieces += 1

    @property
    def exhausted(self) -> bool:
        return self.pieces >= self._most or super().exhausted

    def __exit__(self, *_: object) -> None:
        self._runner.spent_on_device(self)


class GraphRunner(Runner):
    """Run steps and chunks as CUDA graphs, captured once per shape.

    Steps and prefill are made of Triton kernels if the slots have pages.

    chunks: sizes, in frames, of the audio chunks to decode.
    """

    delay = AHEAD
    codec_batch = CODEC_BATCH
    codec_patience = 4

    def __init__(self, slots: Slots, codec: Codec, chunks: Sequence[int], cuda: Cuda) -> None:
        super().__init__(slots, codec)
        self._cuda = cuda
        self.use_triton = slots.has_pages
        self.shaped = not self.use_triton
        self._model_stream = cuda.stream(urgent=True)
        self._model_pool = cuda.pool()
        self._ends = torch.full((slots.count,), NO_END, device=cuda.device)
        self._in_flight: deque[tuple[int, Launch, Any]] = deque()
        self._seen: tuple[int, NDArray[np.int64]] = (0, np.zeros(0, np.int64))
        self._prefill_piece_s = _FIRST_GUESS_S
        self._measurements: deque[tuple[int, Any, Any]] = deque()
        self._measuring_since: Any = None
        self._table: PageTable | None = None
        self._prefill_graphs: PrefillGraphs | None = None
        self._steps: FusedSteps | MaskedSteps
        if self.use_triton:
            self._table = PageTable(slots.paged.layout, slots.paged.pages)
            self._steps = FusedSteps(slots, self._table, self._capture_step)
            self._prefill_graphs = PrefillGraphs(slots, cuda, self._model_stream, self._model_pool)
        else:
            self._steps = MaskedSteps(slots, self._capture_step)
        self._codec = CodecGraphs(slots, codec, chunks, cuda)
        self._last_step = cuda.record_event(self._model_stream)
        # What ran before each capture has left its memory in PyTorch's cache.
        cuda.empty_cache()
        log.info("captured %d CUDA graphs", self.graphs)

    @property
    def graphs(self) -> int:
        """Graphs captured."""
        return len(self._steps) + len(self._codec) + len(self._prefill_graphs or ())

    def compute_scope(self) -> AbstractContextManager[Any]:
        return self._cuda.use_stream(self._model_stream)

    # Pages

    def admit(self, slot: int, text: int, frames: int) -> bool:
        return self._table is None or self._table.admit(slot, text, frames)

    def grow(self, slot: int, frames: int) -> bool:
        return self._table is None or self._table.grow(slot, frames)

    def release(self, slot: int) -> None:
        if self._table is not None:
            self._table.release(slot)

    def _upload_table(self, table: PageTable) -> None:
        """Upload all pending entries; steps take along as many as fit."""
        if table.pending:
            upload = self._cuda.pinned(list(table.pending.items())).to(self._cuda.device, non_blocking=True)
            self.slots.paged.table.view(-1)[upload[:, 0]] = upload[:, 1]
            table.pending.clear()

    # The model

    def step(self, slot_ids: Sequence[int], shape: StepShape) -> None:
        if self._table is not None and len(self._table.pending) > len(slot_ids):
            self._upload_table(self._table)
        batch = self._steps.batch(slot_ids, shape)
        launch = batch.graph.launch(batch.rows)
        self.steps += 1
        self._last_step = self._cuda.record_event(self._model_stream)
        self._in_flight.append((self.steps, launch, self._last_step))

    def computed_anyway(self, slot_ids: Sequence[int]) -> range:
        return self._steps.computed_anyway(slot_ids)

    def throttle(self) -> None:
        if len(self._in_flight) > AHEAD:
            self._in_flight[-1 - AHEAD][2].synchronize()

    def read_ends(self, wait: bool = False) -> tuple[int, NDArray[np.int64]]:
        if wait and self._in_flight:
            self._in_flight[-1][2].synchronize()
        while self._in_flight and self._in_flight[0][2].query():
            steps, launch, _ = self._in_flight.popleft()
            self._seen = steps, launch.output.copy()
            launch.release()
        return self._seen

    def _capture_step(self, step: Callable[[], None], inputs: Tensor) -> CapturedGraph:
        """Capture with inputs under which no slot advances."""

        def body() -> Tensor:
            step()
            return self._ends.copy_(self.slots.ends)

        return self._cuda.capture(body, inputs, self._model_stream, self._model_pool)

    # Prefill

    def prefill(self, slot: int, beginning: Beginning) -> Iterator[None]:
        if self._table is None or self._prefill_graphs is None:
            yield from super().prefill(slot, beginning)
            return
        self._upload_table(self._table)
        yield from self._prefill_graphs.pieces(slot, beginning)

    def time_budget(self, seconds: float) -> TimeBudget:
        while self._measurements and self._measurements[0][2].query():
            pieces, start, end = self._measurements.popleft()
            took = start.elapsed_time(end) / 1e3 / pieces
            self._prefill_piece_s = max(took, 0.8 * self._prefill_piece_s + 0.2 * took, 1e-6)
        self._measuring_since = self._cuda.record_event(self._model_stream, timing=True)
        return DeviceTimeBudget(seconds, self._prefill_piece_s, self)

    def spent_on_device(self, time_budget: DeviceTimeBudget) -> None:
        """Mark the end of a budget; its time on the device is read later."""
        if time_budget.pieces:
            end = self._cuda.record_event(self._model_stream, timing=True)
            self._measurements.append((time_budget.pieces, self._measuring_since, end))

    # The codec

    def reset_codec(self, slot: int) -> None:
        self._codec.reset(slot)

    def decode(self, chunks: Sequence[AudioChunk], frames: int) -> None:
        self._codec.decode(chunks, frames, self._last_step)

    def collect_audio(self, wait: bool) -> list[tuple[AudioChunk, NDArray[np.int16]]]:
        return self._codec.collect(wait)

    # Capacity and shutdown

    @torch.inference_mode()
    def realtime_streams(self) -> int:
        """Time the captured graphs. Must be called before any stream is served."""
        frame_s = self.codec.config.hop / self.codec.config.sample_rate
        most = 1
        with self.compute_scope(), self._steps.trial(self.step_sizes[-1]) as graph:
            raise_clocks(self._cuda, graph, self.slots.frames // 16)
        for size in self.step_sizes:
            if self.step_seconds(size) + self._codec.seconds_per_frame(size) <= _STEADY * frame_s:
                most = size
        return most

    @property
    def step_sizes(self) -> list[int]:
        """Batch sizes that have a graph."""
        return sizes(self.slots.count)

    @property
    def codec_sizes(self) -> list[tuple[int, int]]:
        """Batch sizes and frames that the codec has a graph for."""
        return self._codec.sizes

    @torch.inference_mode()
    def step_seconds(self, size: int) -> float:
        """Time a step of `size` streams, of 12 s or, one in eight, near the greatest length.

        No stream may be served meanwhile.
        """
        with self.compute_scope(), self._steps.trial(size) as graph:
            seconds = graph_seconds(self._cuda, graph, self._model_stream)
            self._cuda.synchronize()
        return seconds

    @torch.inference_mode()
    def codec_seconds(self, size: int, frames: int) -> float:
        """Time a call of the codec."""
        return self._codec.seconds(size, frames)

    @torch.inference_mode()
    def prefill_seconds(self) -> dict[str, float]:
        """Time the graphs of prefill, if there are any. No stream may be served meanwhile."""
        if self._prefill_graphs is None:
            return {}
        with self.compute_scope():
            self.slots.pretend(self.slots.frames // 2, self.slots.text, self.slots.count)
            found = self._prefill_graphs.seconds()
            self._cuda.synchronize()
            self.slots.clear()
        return found

    @contextmanager
    def replaying(self, size: int) -> Iterator[Callable[[], None]]:
        """Return, for a `with` block, what launches a step as `step_seconds` times it."""
        with torch.inference_mode(), self.compute_scope(), self._steps.trial(size) as graph:
            yield graph.replay
            self._cuda.synchronize()

    def relieve(self) -> None:
        super().relieve()
        self._cuda.empty_cache()

    def close(self) -> None:
        self._cuda.synchronize()
        self._in_flight.clear()
        self._measurements.clear()
        self._measuring_since = None
        self._steps.clear()
        self._prefill_graphs = None
        self._codec.clear()
        super().close()
        # Whatever holds slots or graphs must be gone before memory can be given back.
        del self._steps, self._codec, self._prefill, self.slots, self.codec
        self._cuda.clear_workspaces()
