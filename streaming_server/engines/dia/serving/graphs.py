"""The runner for a GPU: CUDA graphs on two streams, one for the model and one for the codec and the copies.

A step is one upload, one graph and one download; what it found out is read when the download has arrived, a
few steps later. Nothing waits for the device but `keep_pace`, and who says `wait`. All graphs there will ever
be are captured before anybody is served.
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

from streaming_server.engines.dia.model.codec import ENDLESS, Codec, to_pcm
from streaming_server.engines.dia.model.sampling import USUAL_BREADTH
from streaming_server.engines.dia.model.transformer import CacheView, Lanes
from streaming_server.engines.dia.serving.cuda import Captured, Cuda
from streaming_server.engines.dia.serving.runner import Load, Meter, Piece, Runner
from streaming_server.engines.dia.serving.slots import Slots

_LOG = logging.getLogger(__name__)

BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256)
"""Batch sizes there are graphs for; a batch is filled up to the next."""

FRAMES: Final = (1024, 2048, 3072)
TEXTS: Final = (256, 1024)
"""Lengths of the caches there are graphs for. What is sampled among more candidates than is usual is always
computed at the greatest."""

GATHERED: Final = 32
"""The largest batch made of slots that do not lie together: their caches are copied together for the step."""

CODEC_BATCH: Final = 32
"""Streams that the codec decodes together; more would take more memory than time."""

AHEAD: Final = 3
"""Steps the host may be ahead of the device."""

_TRIALS: Final = 4
"""Replays by which a graph's time is measured."""

_FIRST_GUESS_S: Final = 0.001
"""What a piece of prefill is thought to take before any was measured."""

_STEADY: Final = 0.9
"""Of a frame's time, what a step may take for its streams to be spoken in real time."""


class DeviceMeter(Meter):
    """Counts pieces, since the host is done with them long before the device is.

    seconds_each: what a piece has taken on the device lately.
    """

    def __init__(self, seconds: float, seconds_each: float, runner: GraphRunner) -> None:
        super().__init__(seconds)
        self.pieces = 0
        self._most = max(1, int(seconds / seconds_each))
        self._runner = runner

    def count(self) -> None:
        self.pieces += 1

    @property
    def spent(self) -> bool:
        return self.pieces >= self._most or super().spent

    def __exit__(self, *_: object) -> None:
        self._runner.metered(self)


class GraphRunner(Runner):
    """pieces: frames per piece that the codec will be given.

    Graphs are captured once per shape, all of them before serving.
    """

    delay = AHEAD
    codec_batch = CODEC_BATCH

    def __init__(self, slots: Slots, codec: Codec, pieces: Sequence[int], cuda: Cuda) -> None:
        super().__init__(slots, codec)
        self._cuda = cuda
        self._model_stream, self._codec_stream = cuda.stream(), cuda.stream()
        self._model_pool, self._codec_pool = cuda.pool(), cuda.pool()
        self._step_graphs: dict[tuple[int, bool, Load], Captured] = {}
        self._codec_graphs: dict[tuple[int, int], Captured] = {}
        self._progress = torch.zeros(slots.count, 2, device=cuda.device, dtype=torch.int64)
        self._flights: deque[tuple[int, Tensor, Any]] = deque()
        self._seen: tuple[int, list[int]] = (0, [])
        self._decoding: deque[tuple[Sequence[Piece], Tensor, Any]] = deque()
        self._piece_s = _FIRST_GUESS_S
        self._metering: deque[tuple[int, Any, Any]] = deque()
        self._metering_from: Any = None
        self._capture_steps()
        self._capture_codec(pieces)
        self._last_step = cuda.mark(self._model_stream)
        _LOG.info("captured %d CUDA graphs", len(self._step_graphs) + len(self._codec_graphs))

    def computing(self) -> AbstractContextManager[Any]:
        return self._cuda.on(self._model_stream)

    # The model

    def step(self, lanes: Sequence[int], load: Load) -> None:
        whole = self.computed_with(lanes)
        together = len(whole) > 0
        size = len(whole) or _bucket(len(lanes), self.slots.count)
        chosen = list(whole) or _filled(lanes, size, self.slots.count)
        moving = set(lanes)
        upload = self._cuda.pinned([chosen, [lane in moving for lane in chosen]])
        download = self._cuda.landing(self._progress)
        captured = self._step_graphs[size, together, self._rounded(load)]
        captured.inputs.copy_(upload, non_blocking=True)
        captured.replay()
        self.steps += 1
        download.copy_(self._progress, non_blocking=True)
        self._last_step = self._cuda.mark(self._model_stream)
        self._flights.append((self.steps, download, self._last_step))

    def computed_with(self, lanes: Sequence[int]) -> range:
        """The first slots up to the last of these, where they lie close or are too many to be gathered."""
        size = _bucket(len(lanes), self.slots.count)
        if lanes[-1] >= size and size <= GATHERED:
            return range(0)
        return range(_bucket(lanes[-1] + 1, self.slots.count))

    def keep_pace(self) -> None:
        if len(self._flights) > AHEAD:
            self._flights[-1 - AHEAD][2].synchronize()

    def ends(self, wait: bool = False) -> tuple[int, list[int]]:
        if wait and self._flights:
            self._flights[-1][2].synchronize()
        while self._flights and self._flights[0][2].query():
            steps, download, _ = self._flights.popleft()
            self._seen = steps, download[:, 1].tolist()
        return self._seen

    def _rounded(self, load: Load) -> Load:
        """The least load there are graphs for that is as great."""
        if load.breadth > self._usual_breadth:
            return Load(self.slots.frames, self.slots.text, self._vocabulary, True)
        frames = next((size for size in FRAMES if size >= load.frames), self.slots.frames)
        text = next((size for size in TEXTS if size >= load.text), self.slots.text)
        return Load(min(frames, self.slots.frames), min(text, self.slots.text), self._usual_breadth, True)

    @property
    def _vocabulary(self) -> int:
        return self.slots.model.config.decoder.vocabulary

    @property
    def _usual_breadth(self) -> int:
        return min(USUAL_BREADTH, self._vocabulary)

    def _capture_steps(self) -> None:
        wide = Load(self.slots.frames, self.slots.text, self._vocabulary, True)
        usual = [Load(frames, text, self._usual_breadth, True) for frames in FRAMES for text in TEXTS]
        loads = {self._rounded(load) for load in [*usual, wide]}
        for size in sorted({_bucket(size, self.slots.count) for size in BUCKETS}):
            for load in loads:
                self._step_graphs[size, True, load] = self._capture_step(size, True, load)
                if size <= GATHERED and size < self.slots.count:
                    self._step_graphs[size, False, load] = self._capture_step(size, False, load)

    def _capture_step(self, size: int, together: bool, load: Load) -> Captured:
        """Its inputs, the lanes and whether they move, are such that none moves."""
        inputs = torch.zeros(2, size, device=self._cuda.device, dtype=torch.int64)
        inputs[0] = torch.arange(size, device=self._cuda.device)

        def body() -> Tensor:
            lanes: Lanes = slice(0, size) if together else inputs[0]
            view = CacheView(self.slots.caches, lanes, load.frames, load.text)
            self.slots.step(view, lanes, inputs[1, :, None] != 0, load.breadth, load.sample)
            return self._progress.copy_(self.slots.progress)

        return self._cuda.capture(body, inputs, self._model_stream, self._model_pool)

    # Newcomers

    def meter(self, seconds: float) -> Meter:
        while self._metering and self._metering[0][2].query():
            pieces, start, end = self._metering.popleft()
            took = start.elapsed_time(end) / 1e3 / pieces
            self._piece_s = max(took, 0.8 * self._piece_s + 0.2 * took, 1e-6)
        self._metering_from = self._cuda.mark(self._model_stream, timing=True)
        return DeviceMeter(seconds, self._piece_s, self)

    def metered(self, meter: DeviceMeter) -> None:
        """What a meter counted is under way; what it takes on the device will be known later."""
        if meter.pieces:
            end = self._cuda.mark(self._model_stream, timing=True)
            self._metering.append((meter.pieces, self._metering_from, end))

    # The codec

    def begin_sound(self, slot: int) -> None:
        with self._cuda.on(self._codec_stream):
            self.codec.begin(slot)

    def decode(self, pieces: Sequence[Piece], frames: int) -> None:
        size = self._codec_bucket(len(pieces))
        filling = size - len(pieces)
        spare = self.slots.count
        rows = [
            [piece.slot for piece in pieces] + [0] * filling,
            [piece.row for piece in pieces] + [0] * filling,
            [piece.first for piece in pieces] + [0] * filling,
            [piece.length for piece in pieces] + [ENDLESS] * filling,
            [piece.slot for piece in pieces] + [spare] * filling,
        ]
        captured = self._codec_graphs[size, frames]
        upload, sound = self._cuda.pinned(rows), self._cuda.landing(captured.output)
        self._codec_stream.wait_event(self._last_step)
        with self._cuda.on(self._codec_stream):
            captured.inputs.copy_(upload, non_blocking=True)
            captured.replay()
            sound.copy_(captured.output, non_blocking=True)
            arrived = self._cuda.mark(self._codec_stream)
        self._decoding.append((pieces, sound, arrived))

    def sound(self, wait: bool) -> list[tuple[Piece, NDArray[np.int16]]]:
        done: list[tuple[Piece, NDArray[np.int16]]] = []
        while self._decoding:
            pieces, sound, arrived = self._decoding[0]
            if wait:
                arrived.synchronize()
            elif not arrived.query():
                break
            self._decoding.popleft()
            done.extend(zip(pieces, sound.numpy(), strict=False))
        return done

    def _capture_codec(self, pieces: Sequence[int]) -> None:
        for size in sorted({self._codec_bucket(size) for size in BUCKETS}):
            for frames in pieces:
                self._codec_graphs[size, frames] = self._capture_pieces(size, frames)

    def _codec_bucket(self, count: int) -> int:
        return _bucket(count, min(self.codec_batch, self.slots.count))

    def _capture_pieces(self, size: int, frames: int) -> Captured:
        """Its inputs are such that it decodes on the spare place."""
        inputs = torch.zeros(5, size, device=self._cuda.device, dtype=torch.int64)
        inputs[3], inputs[4] = ENDLESS, self.slots.count

        def body() -> Tensor:
            codes = self.slots.frames_of(inputs[0], inputs[1], frames)
            return to_pcm(self.codec.decode(codes, inputs[4], inputs[2], inputs[3]))

        return self._cuda.capture(body, inputs, self._codec_stream, self._codec_pool)

    # Coming and going

    def in_real_time(self) -> int:
        """Measured on the captured graphs, when nobody is served yet."""
        frame_s = self.codec.config.hop / self.codec.config.sample_rate
        load = self._rounded(Load(FRAMES[0], TEXTS[0], self._usual_breadth, True))
        most = 1
        for size in sorted({size for size, together, _ in self._step_graphs if together}):
            batch, frames = max(key for key in self._codec_graphs if key[0] == self._codec_bucket(size))
            step_s = self._time(self._step_graphs[size, True, load], self._model_stream)
            codec_s = self._time(self._codec_graphs[batch, frames], self._codec_stream)
            if step_s + codec_s * -(-size // batch) / frames > _STEADY * frame_s:
                break
            most = size
        return most

    def _time(self, captured: Captured, stream: Any) -> float:
        """Seconds a graph takes on the device, which has nothing else to do."""
        with self._cuda.on(stream):
            captured.replay()
            start = self._cuda.mark(stream, timing=True)
            for _ in range(_TRIALS):
                captured.replay()
            end = self._cuda.mark(stream, timing=True)
            end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / _TRIALS

    def relieve(self) -> None:
        super().relieve()
        self._cuda.give_back()

    def close(self) -> None:
        self._cuda.synchronize()
        self._flights.clear()
        self._decoding.clear()
        self._metering.clear()
        self._metering_from = None
        self._step_graphs.clear()
        self._codec_graphs.clear()
        super().close()
        self._cuda.clear_workspaces()


def _bucket(count: int, most: int) -> int:
    """The batch size that holds `count`; no larger than `most`."""
    return min(next((size for size in BUCKETS if size >= count), most), most)


def _filled(lanes: Sequence[int], size: int, slots: int) -> list[int]:
    """The lanes and as many other slots as fill the batch."""
    members = set(lanes)
    others = (slot for slot in range(slots) if slot not in members)
    return [*lanes, *(next(others) for _ in range(size - len(lanes)))]
