"""The runner for a GPU: CUDA graphs on two streams, one for the model and one for the codec and the copies.

Nothing here waits for the device but the bound on how far the host may run ahead. A step is one upload, one
graph and one download; what it found out is read when the download has arrived, a few steps later.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.codec import ENDLESS, Codec, to_pcm
from streaming_server.engines.dia.model import CacheView, Lanes
from streaming_server.engines.dia.runner import Load, Piece, Runner
from streaming_server.engines.dia.sampling import USUAL_BREADTH
from streaming_server.engines.dia.slots import Slots

_LOG = logging.getLogger(__name__)

_CUDA: Any = torch.cuda

BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256)
"""Batch sizes there are graphs for; a batch is filled up to the next."""

FRAMES: Final = (512, 1024, 2048, 3072)
TEXTS: Final = (256, 1024)
"""Lengths of the caches there are graphs for."""

GATHERED: Final = 32
"""The largest batch made of slots that do not lie together: their caches are copied together for the step."""

CODEC_BATCH: Final = 32
"""Streams that the codec decodes together; more would take more memory than time."""

AHEAD: Final = 3
"""Steps the host may be ahead of the device."""


class GraphRunner(Runner):
    """Graphs are captured once per shape, the usual ones before serving, the others when first needed."""

    delay = AHEAD

    def __init__(self, slots: Slots, codec: Codec, pieces: Sequence[int] = ()) -> None:
        super().__init__(slots, codec)
        device = slots.model.device
        self._device = device
        self._model_stream: Any = _CUDA.Stream(device)
        self._codec_stream: Any = _CUDA.Stream(device)
        loaded = torch.cuda.current_stream(device)
        self._model_stream.wait_stream(loaded)
        self._codec_stream.wait_stream(loaded)
        self._model_pool = torch.cuda.graph_pool_handle()
        self._codec_pool = torch.cuda.graph_pool_handle()
        self._step_graphs: dict[tuple[int, bool, Load], _Captured] = {}
        self._codec_graphs: dict[tuple[int, int], _Captured] = {}
        self._progress = torch.zeros(slots.count, 2, device=device, dtype=torch.int64)
        self._flights: deque[tuple[int, Tensor, Any]] = deque()
        self._seen: tuple[int, list[int]] = (0, [])
        self._last_step: Any = _CUDA.Event()
        self._decoding: deque[tuple[Sequence[Piece], Tensor, Any]] = deque()
        self._warm_up(pieces)

    def computing(self) -> AbstractContextManager[Any]:
        stream: AbstractContextManager[Any] = torch.cuda.stream(self._model_stream)
        return stream

    # The model

    def step(self, lanes: Sequence[int], load: Load) -> None:
        size = _bucket(len(lanes), self.slots.count)
        together = lanes[-1] < size or size > GATHERED
        if together:
            size = _bucket(lanes[-1] + 1, self.slots.count)
        chosen = list(range(size)) if together else _filled(lanes, size, self.slots.count)
        moving = set(lanes)
        upload = torch.tensor(
            [chosen, [lane in moving for lane in chosen]], dtype=torch.int64, pin_memory=True
        )
        captured = self._step_graph(size, together, self._rounded(load))
        captured.inputs.copy_(upload, non_blocking=True)
        captured.graph.replay()
        self.steps += 1
        download = torch.empty(self._progress.shape, dtype=torch.int64, pin_memory=True)
        download.copy_(self._progress, non_blocking=True)
        arrived = _CUDA.Event()
        arrived.record(self._model_stream)
        self._last_step = arrived
        self._flights.append((self.steps, download, arrived))
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
        frames = next((size for size in FRAMES if size >= load.frames), self.slots.frames)
        text = next((size for size in TEXTS if size >= load.text), self.slots.text)
        return Load(min(frames, self.slots.frames), min(text, self.slots.text), load.breadth, True)

    def _step_graph(self, size: int, together: bool, load: Load) -> _Captured:
        key = (size, together, load)
        if key not in self._step_graphs:
            inputs = torch.zeros(2, size, device=self._device, dtype=torch.int64)
            inputs[0] = torch.arange(size, device=self._device)

            def body() -> Tensor:
                lanes: Lanes = slice(0, size) if together else inputs[0]
                view = CacheView(self.slots.caches, lanes, load.frames, load.text)
                self.slots.step(view, lanes, inputs[1, :, None] != 0, load.breadth, load.sample)
                return self._progress.copy_(self.slots.progress)

            self._step_graphs[key] = _capture(body, inputs, self._model_stream, self._model_pool)
        return self._step_graphs[key]

    # The codec

    def begin_sound(self, slot: int) -> None:
        with torch.cuda.stream(self._codec_stream):
            self.codec.begin(slot)

    def decode(self, pieces: Sequence[Piece], frames: int) -> None:
        for start in range(0, len(pieces), CODEC_BATCH):
            self._decode_batch(pieces[start : start + CODEC_BATCH], frames)

    def _decode_batch(self, pieces: Sequence[Piece], frames: int) -> None:
        size = _bucket(len(pieces), CODEC_BATCH)
        filling = size - len(pieces)
        spare = self.slots.count
        rows = [
            [piece.slot for piece in pieces] + [0] * filling,
            [piece.row for piece in pieces] + [0] * filling,
            [piece.first for piece in pieces] + [0] * filling,
            [piece.length for piece in pieces] + [ENDLESS] * filling,
            [piece.slot for piece in pieces] + [spare] * filling,
        ]
        upload = torch.tensor(rows, dtype=torch.int64, pin_memory=True)
        captured = self._codec_graph(size, frames)
        self._codec_stream.wait_event(self._last_step)
        with torch.cuda.stream(self._codec_stream):
            captured.inputs.copy_(upload, non_blocking=True)
            captured.graph.replay()
            sound = torch.empty(captured.output.shape, dtype=torch.int16, pin_memory=True)
            sound.copy_(captured.output, non_blocking=True)
            arrived = _CUDA.Event()
            arrived.record(self._codec_stream)
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

    def _codec_graph(self, size: int, frames: int) -> _Captured:
        key = (size, frames)
        if key not in self._codec_graphs:
            inputs = torch.zeros(5, size, device=self._device, dtype=torch.int64)
            inputs[3], inputs[4] = ENDLESS, self.slots.count

            def body() -> Tensor:
                codes = self.slots.frames_of(inputs[0], inputs[1], frames)
                return to_pcm(self.codec.decode(codes, inputs[4], inputs[2], inputs[3]))

            self._codec_graphs[key] = _capture(body, inputs, self._codec_stream, self._codec_pool)
        return self._codec_graphs[key]

    # Coming and going

    def _warm_up(self, pieces: Sequence[int]) -> None:
        """Capture the usual graphs; moves no stream."""
        sizes = sorted({_bucket(size, self.slots.count) for size in BUCKETS})
        breadth = min(USUAL_BREADTH, self.slots.model.config.decoder.vocabulary)
        for size in sizes:
            for frames in FRAMES[:3]:
                load = self._rounded(Load(frames, TEXTS[0], breadth, True))
                self._step_graph(size, True, load)
                if size <= GATHERED and size < self.slots.count:
                    self._step_graph(size, False, load)
        for size in sorted({_bucket(size, CODEC_BATCH) for size in sizes}):
            for frames in pieces:
                self._codec_graph(size, frames)
        _LOG.info("captured %d CUDA graphs", len(self._step_graphs) + len(self._codec_graphs))

    def relieve(self) -> None:
        super().relieve()
        torch.cuda.empty_cache()

    def close(self) -> None:
        torch.cuda.synchronize(self._device)
        self._flights.clear()
        self._decoding.clear()
        self._step_graphs.clear()
        self._codec_graphs.clear()
        super().close()


class _Captured:
    """A graph with the buffer it reads and the tensor it leaves its result in, until the next replay."""

    __slots__ = ("graph", "inputs", "output")

    def __init__(self, graph: Any, inputs: Tensor, output: Tensor) -> None:
        self.graph = graph
        self.inputs = inputs
        self.output = output


def _capture(body: Callable[[], Tensor], inputs: Tensor, stream: Any, pool: Any) -> _Captured:
    """Run once so that libraries set themselves up, then record. `inputs` must make it change nothing."""
    torch.cuda.synchronize(inputs.device)
    with torch.inference_mode(), torch.cuda.stream(stream):
        body()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        try:
            output = body()
        finally:
            graph.capture_end()
    return _Captured(graph, inputs, output)


def _bucket(count: int, most: int) -> int:
    """The batch size that holds `count`; no larger than `most`."""
    return min(next((size for size in BUCKETS if size >= count), most), most)


def _filled(lanes: Sequence[int], size: int, slots: int) -> list[int]:
    """The lanes and as many other slots as fill the batch."""
    members = set(lanes)
    others = (slot for slot in range(slots) if slot not in members)
    return [*lanes, *(next(others) for _ in range(size - len(lanes)))]
