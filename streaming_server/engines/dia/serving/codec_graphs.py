"""CUDA graphs of the codec, on a CUDA stream of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.model.codec import UNKNOWN_LENGTH, Codec, to_pcm
from streaming_server.engines.dia.serving.cuda import CapturedGraph, Cuda, Launch
from streaming_server.engines.dia.serving.graph_timer import graph_seconds
from streaming_server.engines.dia.serving.runner import AudioChunk
from streaming_server.engines.dia.serving.slots import Slots
from streaming_server.engines.dia.serving.step_graphs import BUCKETS, bucket

CODEC_BATCH: Final = 32
"""Streams decoded together; more would cost more memory than they save time."""


class CodecGraphs:
    """One graph per batch size and chunk size. The codec has a slot more than the model, which pads batches.

    chunks: sizes, in frames, of the audio chunks to decode.
    """

    def __init__(self, slots: Slots, codec: Codec, chunks: Sequence[int], cuda: Cuda) -> None:
        self._slots = slots
        self._codec = codec
        self._cuda = cuda
        self.stream = cuda.stream()
        self._pool = cuda.pool()
        self._decoding: deque[tuple[Sequence[AudioChunk], Launch, Any]] = deque()
        self._collected: list[Launch] = []
        self._graphs: dict[tuple[int, int], CapturedGraph] = {}
        for size in sorted({self.bucket(size) for size in BUCKETS}):
            for frames in chunks:
                self._graphs[size, frames] = self._capture(size, frames)

    def __len__(self) -> int:
        return len(self._graphs)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Batch sizes and frames that have a graph."""
        return sorted(self._graphs)

    def bucket(self, count: int) -> int:
        """Return the batch size that decodes `count` chunks."""
        return bucket(count, min(CODEC_BATCH, self._slots.count))

    def reset(self, slot: int) -> None:
        with self._cuda.use_stream(self.stream):
            self._codec.reset(slot)

    def decode(self, chunks: Sequence[AudioChunk], frames: int, after: Any) -> None:
        """Decode `frames` frames of each chunk once the event `after` has completed."""
        given = [(slot, row, first, length, slot) for slot, first, row, length, _ in chunks]
        padding = (0, 0, 0, UNKNOWN_LENGTH, self._slots.count)
        given += [padding] * (self.bucket(len(chunks)) - len(chunks))
        rows = np.array(given, np.int64).T
        self.stream.wait_event(after)
        with self._cuda.use_stream(self.stream):
            launch = self._graphs[self.bucket(len(chunks)), frames].launch(rows)
            arrived = self._cuda.record_event(self.stream)
        self._decoding.append((chunks, launch, arrived))

    def collect(self, wait: bool) -> list[tuple[AudioChunk, NDArray[np.int16]]]:
        """Return the chunks that have arrived, in order; with `wait`, all of them.

        Their audio is valid until the next call.
        """
        for launch in self._collected:
            launch.release()
        self._collected.clear()
        done: list[tuple[AudioChunk, NDArray[np.int16]]] = []
        while self._decoding:
            chunks, launch, arrived = self._decoding[0]
            if wait:
                arrived.synchronize()
            elif not arrived.query():
                break
            self._decoding.popleft()
            self._collected.append(launch)
            done.extend(zip(chunks, launch.output, strict=False))
        return done

    def seconds(self, size: int, frames: int) -> float:
        """Time a call."""
        return graph_seconds(self._cuda, self._graphs[size, frames], self.stream)

    def seconds_per_frame(self, streams: int) -> float:
        """Return the codec's seconds for one frame of each stream, in chunks of the greatest size."""
        batch, frames = max(key for key in self._graphs if key[0] == self.bucket(streams))
        return self.seconds(batch, frames) * -(-streams // batch) / frames

    def clear(self) -> None:
        self._decoding.clear()
        self._collected.clear()
        self._graphs.clear()

    def _capture(self, size: int, frames: int) -> CapturedGraph:
        """Capture with inputs under which only the spare slot is decoded."""
        inputs = torch.zeros(5, size, device=self._cuda.device, dtype=torch.int64)
        inputs[3], inputs[4] = UNKNOWN_LENGTH, self._slots.count

        def body() -> Tensor:
            codes = self._slots.frames_of(inputs[0], inputs[1], frames)
            return to_pcm(self._codec.decode(codes, inputs[4], inputs[2], inputs[3]))

        return self._cuda.capture(body, inputs, self.stream, self._pool)
