"""The runner for a GPU: CUDA graphs on two streams, one for the model, one for the codec and the copies.

A step is one upload, one graph and one download; its result is read when the download has arrived, a few
steps later. Only `throttle` and calls with `wait` wait for the device. All graphs are captured before any
stream is served.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.model.codec import UNKNOWN_LENGTH, Codec, to_pcm
from streaming_server.engines.dia.serving.cuda import CapturedGraph, Cuda
from streaming_server.engines.dia.serving.runner import AudioChunk, Runner, StepShape, TimeBudget
from streaming_server.engines.dia.serving.slots import Slots
from streaming_server.engines.dia.serving.step_graphs import (
    BUCKETS,
    FusedSteps,
    MaskedSteps,
    StepGraphs,
    bucket,
    sizes,
)

_LOG = logging.getLogger(__name__)

CODEC_BATCH: Final = 32
"""Streams decoded together; more would cost more memory than they save time."""

AHEAD: Final = 3
"""Steps the host may be ahead of the device."""

_REPLAYS: Final = 4
"""Replays that measure a graph's time once."""

_TRIALS: Final = 3
"""Measurements of which the least counts."""

_WARM_UP_S: Final = 0.3
"""Time for which the device is kept busy before it is timed."""

_FIRST_GUESS_S: Final = 0.001
"""Assumed time of one layer of prefill before any was measured."""

_STEADY: Final = 0.9
"""Share of a frame's time that a step may take to count as real time."""


class DeviceTimeBudget(TimeBudget):
    """Count layers, since the host is done with them long before the device is.

    seconds_each: recent time of a layer on the device.
    """

    def __init__(self, seconds: float, seconds_each: float, runner: GraphRunner) -> None:
        super().__init__(seconds)
        self.chunks = 0
        self._most = max(1, int(seconds / seconds_each))
        self._runner = runner

    def spend(self) -> None:
        self.chunks += 1

    @property
    def exhausted(self) -> bool:
        return self.chunks >= self._most or super().exhausted

    def __exit__(self, *_: object) -> None:
        self._runner.spent_on_device(self)


class GraphRunner(Runner):
    """Run steps and chunks as CUDA graphs, captured once per shape.

    chunks: sizes, in frames, of the audio chunks to decode. kernels: whether steps are made of Triton
    kernels, which need no masks.
    """

    delay = AHEAD
    codec_batch = CODEC_BATCH

    def __init__(
        self, slots: Slots, codec: Codec, chunks: Sequence[int], cuda: Cuda, kernels: bool = False
    ) -> None:
        super().__init__(slots, codec)
        self._cuda = cuda
        self.kernels = kernels
        self._model_stream, self._codec_stream = cuda.stream(), cuda.stream()
        self._model_pool, self._codec_pool = cuda.pool(), cuda.pool()
        self._codec_graphs: dict[tuple[int, int], CapturedGraph] = {}
        self._progress = torch.zeros(slots.count, 2, device=cuda.device, dtype=torch.int64)
        self._in_flight: deque[tuple[int, Tensor, Any]] = deque()
        self._seen: tuple[int, NDArray[np.int64]] = (0, np.zeros(0, np.int64))
        self._decoding: deque[tuple[Sequence[AudioChunk], Tensor, Any]] = deque()
        self._prefill_piece_s = _FIRST_GUESS_S
        self._measurements: deque[tuple[int, Any, Any]] = deque()
        self._measuring_since: Any = None
        make = FusedSteps if kernels else MaskedSteps
        self._steps: StepGraphs = make(slots, self._capture_step)
        self._capture_codec(chunks)
        self._last_step = cuda.record_event(self._model_stream)
        _LOG.info("captured %d CUDA graphs", len(self._steps) + len(self._codec_graphs))

    def compute_scope(self) -> AbstractContextManager[Any]:
        return self._cuda.use_stream(self._model_stream)

    # The model

    def step(self, slot_ids: Sequence[int], shape: StepShape) -> None:
        batch = self._steps.batch(slot_ids, shape)
        upload = self._cuda.pinned([batch.slot_ids, batch.active])
        download = self._cuda.pinned_like(self._progress)
        batch.graph.inputs.copy_(upload, non_blocking=True)
        batch.graph.replay()
        self.steps += 1
        download.copy_(self._progress, non_blocking=True)
        self._last_step = self._cuda.record_event(self._model_stream)
        self._in_flight.append((self.steps, download, self._last_step))

    def computed_anyway(self, slot_ids: Sequence[int]) -> range:
        return self._steps.computed_anyway(slot_ids)

    def throttle(self) -> None:
        if len(self._in_flight) > AHEAD:
            self._in_flight[-1 - AHEAD][2].synchronize()

    def read_ends(self, wait: bool = False) -> tuple[int, NDArray[np.int64]]:
        if wait and self._in_flight:
            self._in_flight[-1][2].synchronize()
        while self._in_flight and self._in_flight[0][2].query():
            steps, download, _ = self._in_flight.popleft()
            self._seen = steps, download[:, 1].numpy()
        return self._seen

    def _capture_step(self, step: Callable[[], None], inputs: Tensor) -> CapturedGraph:
        """Capture with inputs under which no slot advances."""

        def body() -> Tensor:
            step()
            return self._progress.copy_(self.slots.progress)

        return self._cuda.capture(body, inputs, self._model_stream, self._model_pool)

    # Prefill

    def time_budget(self, seconds: float) -> TimeBudget:
        while self._measurements and self._measurements[0][2].query():
            chunks, start, end = self._measurements.popleft()
            took = start.elapsed_time(end) / 1e3 / chunks
            self._prefill_piece_s = max(took, 0.8 * self._prefill_piece_s + 0.2 * took, 1e-6)
        self._measuring_since = self._cuda.record_event(self._model_stream, timing=True)
        return DeviceTimeBudget(seconds, self._prefill_piece_s, self)

    def spent_on_device(self, time_budget: DeviceTimeBudget) -> None:
        """Mark the end of a budget; its time on the device is read later."""
        if time_budget.chunks:
            end = self._cuda.record_event(self._model_stream, timing=True)
            self._measurements.append((time_budget.chunks, self._measuring_since, end))

    # The codec

    def reset_codec(self, slot: int) -> None:
        with self._cuda.use_stream(self._codec_stream):
            self.codec.reset(slot)

    def decode(self, chunks: Sequence[AudioChunk], frames: int) -> None:
        size = self._codec_bucket(len(chunks))
        filling = size - len(chunks)
        spare = self.slots.count
        rows = [
            [chunk.slot for chunk in chunks] + [0] * filling,
            [chunk.row for chunk in chunks] + [0] * filling,
            [chunk.first for chunk in chunks] + [0] * filling,
            [chunk.length for chunk in chunks] + [UNKNOWN_LENGTH] * filling,
            [chunk.slot for chunk in chunks] + [spare] * filling,
        ]
        captured = self._codec_graphs[size, frames]
        upload, collect_audio = self._cuda.pinned(rows), self._cuda.pinned_like(captured.output)
        self._codec_stream.wait_event(self._last_step)
        with self._cuda.use_stream(self._codec_stream):
            captured.inputs.copy_(upload, non_blocking=True)
            captured.replay()
            collect_audio.copy_(captured.output, non_blocking=True)
            arrived = self._cuda.record_event(self._codec_stream)
        self._decoding.append((chunks, collect_audio, arrived))

    def collect_audio(self, wait: bool) -> list[tuple[AudioChunk, NDArray[np.int16]]]:
        done: list[tuple[AudioChunk, NDArray[np.int16]]] = []
        while self._decoding:
            chunks, collect_audio, arrived = self._decoding[0]
            if wait:
                arrived.synchronize()
            elif not arrived.query():
                break
            self._decoding.popleft()
            done.extend(zip(chunks, collect_audio.numpy(), strict=False))
        return done

    def _capture_codec(self, chunks: Sequence[int]) -> None:
        for size in sorted({self._codec_bucket(size) for size in BUCKETS}):
            for frames in chunks:
                self._codec_graphs[size, frames] = self._capture_pieces(size, frames)

    def _codec_bucket(self, count: int) -> int:
        return bucket(count, min(self.codec_batch, self.slots.count))

    def _capture_pieces(self, size: int, frames: int) -> CapturedGraph:
        """Capture with inputs under which only the spare slot is decoded."""
        inputs = torch.zeros(5, size, device=self._cuda.device, dtype=torch.int64)
        inputs[3], inputs[4] = UNKNOWN_LENGTH, self.slots.count

        def body() -> Tensor:
            codes = self.slots.frames_of(inputs[0], inputs[1], frames)
            return to_pcm(self.codec.decode(codes, inputs[4], inputs[2], inputs[3]))

        return self._cuda.capture(body, inputs, self._codec_stream, self._codec_pool)

    # Capacity and shutdown

    def realtime_streams(self) -> int:
        """Time the captured graphs. Must be called before any stream is served."""
        frame_s = self.codec.config.hop / self.codec.config.sample_rate
        most = 1
        self._raise_clocks(self.step_sizes[-1])
        for size in self.step_sizes:
            batch, frames = max(key for key in self._codec_graphs if key[0] == self._codec_bucket(size))
            codec_s = self.codec_seconds(batch, frames) * -(-size // batch) / frames
            if self.step_seconds(size) + codec_s <= _STEADY * frame_s:
                most = size
        return most

    @property
    def step_sizes(self) -> list[int]:
        """Batch sizes that have a graph."""
        return sizes(self.slots.count)

    @property
    def codec_sizes(self) -> list[tuple[int, int]]:
        """Batch sizes and frames that the codec has a graph for."""
        return sorted(self._codec_graphs)

    def step_seconds(self, size: int) -> float:
        """Time a step of so many streams of 12 s. No stream may be served meanwhile."""
        with self.compute_scope(), self._steps.trial(size) as graph:
            seconds = self._time(graph, self._model_stream)
            self._cuda.synchronize()
        return seconds

    def codec_seconds(self, size: int, frames: int) -> float:
        """Time a call of the codec."""
        return self._time(self._codec_graphs[size, frames], self._codec_stream)

    @contextmanager
    def replaying(self, size: int) -> Iterator[Callable[[], None]]:
        """Return, for a `with` block, what launches a step of so many streams of 12 s."""
        with self.compute_scope(), self._steps.trial(size) as graph:
            yield graph.replay
            self._cuda.synchronize()

    def _raise_clocks(self, size: int) -> None:
        """Keep the device busy until its clocks are as high as under load."""
        deadline = time.perf_counter() + _WARM_UP_S
        with self.compute_scope(), self._steps.trial(size) as graph:
            for _ in range(self.slots.frames // 4):
                graph.replay()
                self._cuda.synchronize()
                if time.perf_counter() > deadline:
                    return

    def _time(self, captured: CapturedGraph, stream: Any) -> float:
        """Return the seconds a graph takes on the idle device."""
        with self._cuda.use_stream(stream):
            captured.replay()
            return min(self._timed(captured, stream) for _ in range(_TRIALS))

    def _timed(self, captured: CapturedGraph, stream: Any) -> float:
        start = self._cuda.record_event(stream, timing=True)
        for _ in range(_REPLAYS):
            captured.replay()
        end = self._cuda.record_event(stream, timing=True)
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / _REPLAYS

    def relieve(self) -> None:
        super().relieve()
        self._cuda.empty_cache()

    def close(self) -> None:
        self._cuda.synchronize()
        self._in_flight.clear()
        self._decoding.clear()
        self._measurements.clear()
        self._measuring_since = None
        self._steps.clear()
        self._codec_graphs.clear()
        super().close()
        self._cuda.clear_workspaces()
