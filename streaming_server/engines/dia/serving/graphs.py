"""The runner for a GPU: CUDA graphs on two streams, one for the model, one for the codec and the copies.

A step is one upload, one graph and one download; its result is read when the download has arrived, a few
steps later. Only `throttle` and calls with `wait` wait for the device. All graphs are captured before any
stream is served.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.model.codec import UNKNOWN_LENGTH, Codec, to_pcm
from streaming_server.engines.dia.model.kv_cache import KVCacheView, SlotIndex
from streaming_server.engines.dia.model.sampling import DEFAULT_CANDIDATES
from streaming_server.engines.dia.serving.cuda import CapturedGraph, Cuda
from streaming_server.engines.dia.serving.runner import AudioChunk, Runner, StepShape, TimeBudget
from streaming_server.engines.dia.serving.slots import Slots

_LOG = logging.getLogger(__name__)

BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256)
"""Batch sizes that have a graph; a batch is padded to the next."""

FRAMES: Final = (1024, 2048, 3072)
TEXTS: Final = (256, 1024)
"""Cache lengths that have a graph. A step that ranks more than the default candidates uses the greatest."""

GATHERED: Final = 32
"""Largest batch of slots that are not contiguous: their cache is gathered for the step."""

CODEC_BATCH: Final = 32
"""Streams decoded together; more would cost more memory than they save time."""

AHEAD: Final = 3
"""Steps the host may be ahead of the device."""

_TRIALS: Final = 4
"""Replays that measure a graph's time."""

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

    chunks: sizes, in frames, of the audio chunks to decode.
    """

    delay = AHEAD
    codec_batch = CODEC_BATCH

    def __init__(self, slots: Slots, codec: Codec, chunks: Sequence[int], cuda: Cuda) -> None:
        super().__init__(slots, codec)
        self._cuda = cuda
        self._model_stream, self._codec_stream = cuda.stream(), cuda.stream()
        self._model_pool, self._codec_pool = cuda.pool(), cuda.pool()
        self._step_graphs: dict[tuple[int, bool, StepShape], CapturedGraph] = {}
        self._codec_graphs: dict[tuple[int, int], CapturedGraph] = {}
        self._progress = torch.zeros(slots.count, 2, device=cuda.device, dtype=torch.int64)
        self._in_flight: deque[tuple[int, Tensor, Any]] = deque()
        self._seen: tuple[int, list[int]] = (0, [])
        self._decoding: deque[tuple[Sequence[AudioChunk], Tensor, Any]] = deque()
        self._prefill_piece_s = _FIRST_GUESS_S
        self._measurements: deque[tuple[int, Any, Any]] = deque()
        self._measuring_since: Any = None
        self._capture_steps()
        self._capture_codec(chunks)
        self._last_step = cuda.record_event(self._model_stream)
        _LOG.info("captured %d CUDA graphs", len(self._step_graphs) + len(self._codec_graphs))

    def compute_scope(self) -> AbstractContextManager[Any]:
        return self._cuda.use_stream(self._model_stream)

    # The model

    def step(self, slot_ids: Sequence[int], shape: StepShape) -> None:
        covered = self.computed_anyway(slot_ids)
        contiguous = len(covered) > 0
        size = len(covered) or _bucket(len(slot_ids), self.slots.count)
        chosen = list(covered) or _fill_batch(slot_ids, size, self.slots.count)
        active = set(slot_ids)
        upload = self._cuda.pinned([chosen, [slot_id in active for slot_id in chosen]])
        download = self._cuda.pinned_like(self._progress)
        captured = self._step_graphs[size, contiguous, self._graph_shape(shape)]
        captured.inputs.copy_(upload, non_blocking=True)
        captured.replay()
        self.steps += 1
        download.copy_(self._progress, non_blocking=True)
        self._last_step = self._cuda.record_event(self._model_stream)
        self._in_flight.append((self.steps, download, self._last_step))

    def computed_anyway(self, slot_ids: Sequence[int]) -> range:
        """The first slots up to the last of these, where they lie close or are too many to be gathered."""
        size = _bucket(len(slot_ids), self.slots.count)
        if slot_ids[-1] >= size and size <= GATHERED:
            return range(0)
        return range(_bucket(slot_ids[-1] + 1, self.slots.count))

    def throttle(self) -> None:
        if len(self._in_flight) > AHEAD:
            self._in_flight[-1 - AHEAD][2].synchronize()

    def read_ends(self, wait: bool = False) -> tuple[int, list[int]]:
        if wait and self._in_flight:
            self._in_flight[-1][2].synchronize()
        while self._in_flight and self._in_flight[0][2].query():
            steps, download, _ = self._in_flight.popleft()
            self._seen = steps, download[:, 1].tolist()
        return self._seen

    def _graph_shape(self, shape: StepShape) -> StepShape:
        """Return the smallest shape with a graph that covers `shape`."""
        if shape.candidates > self._default_candidates:
            return StepShape(self.slots.frames, self.slots.text, self._vocabulary, True)
        frames = next((size for size in FRAMES if size >= shape.frames), self.slots.frames)
        text = next((size for size in TEXTS if size >= shape.text), self.slots.text)
        return StepShape(
            min(frames, self.slots.frames), min(text, self.slots.text), self._default_candidates, True
        )

    @property
    def _vocabulary(self) -> int:
        return self.slots.model.config.decoder.vocabulary

    @property
    def _default_candidates(self) -> int:
        return min(DEFAULT_CANDIDATES, self._vocabulary)

    def _capture_steps(self) -> None:
        wide = StepShape(self.slots.frames, self.slots.text, self._vocabulary, True)
        usual = [
            StepShape(frames, text, self._default_candidates, True) for frames in FRAMES for text in TEXTS
        ]
        shapes = {self._graph_shape(shape) for shape in [*usual, wide]}
        for size in sorted({_bucket(size, self.slots.count) for size in BUCKETS}):
            for shape in shapes:
                self._step_graphs[size, True, shape] = self._capture_step(size, True, shape)
                if size <= GATHERED and size < self.slots.count:
                    self._step_graphs[size, False, shape] = self._capture_step(size, False, shape)

    def _capture_step(self, size: int, contiguous: bool, shape: StepShape) -> CapturedGraph:
        """Capture with inputs, slot ids and active flags, under which no slot advances."""
        inputs = torch.zeros(2, size, device=self._cuda.device, dtype=torch.int64)
        inputs[0] = torch.arange(size, device=self._cuda.device)

        def body() -> Tensor:
            slot_ids: SlotIndex = slice(0, size) if contiguous else inputs[0]
            view = KVCacheView(self.slots.cache, slot_ids, shape.frames, shape.text)
            self.slots.step(view, slot_ids, inputs[1, :, None] != 0, shape.candidates, shape.sample)
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
        return _bucket(count, min(self.codec_batch, self.slots.count))

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
        shape = self._graph_shape(StepShape(FRAMES[0], TEXTS[0], self._default_candidates, True))
        most = 1
        for size in sorted({size for size, contiguous, _ in self._step_graphs if contiguous}):
            batch, frames = max(key for key in self._codec_graphs if key[0] == self._codec_bucket(size))
            step_s = self._time(self._step_graphs[size, True, shape], self._model_stream)
            codec_s = self._time(self._codec_graphs[batch, frames], self._codec_stream)
            if step_s + codec_s * -(-size // batch) / frames > _STEADY * frame_s:
                break
            most = size
        return most

    def _time(self, captured: CapturedGraph, stream: Any) -> float:
        """Return the seconds a graph takes on the idle device."""
        with self._cuda.use_stream(stream):
            captured.replay()
            start = self._cuda.record_event(stream, timing=True)
            for _ in range(_TRIALS):
                captured.replay()
            end = self._cuda.record_event(stream, timing=True)
            end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / _TRIALS

    def relieve(self) -> None:
        super().relieve()
        self._cuda.empty_cache()

    def close(self) -> None:
        self._cuda.synchronize()
        self._in_flight.clear()
        self._decoding.clear()
        self._measurements.clear()
        self._measuring_since = None
        self._step_graphs.clear()
        self._codec_graphs.clear()
        super().close()
        self._cuda.clear_workspaces()


def _bucket(count: int, most: int) -> int:
    """Return the batch size that holds `count` streams, at most `most`."""
    return min(next((size for size in BUCKETS if size >= count), most), most)


def _fill_batch(slot_ids: Sequence[int], size: int, slots: int) -> list[int]:
    """Pad `slot_ids` with other slots to `size`."""
    members = set(slot_ids)
    others = (slot for slot in range(slots) if slot not in members)
    return [*slot_ids, *(next(others) for _ in range(size - len(slot_ids)))]
