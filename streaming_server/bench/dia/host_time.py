"""The host's own time for a step, measured with a device that does nothing, so that no GPU is needed.

It leaves out what CUDA itself takes to launch a graph, two copies and an event: about 30 µs a step.
"""

from __future__ import annotations

import statistics
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from streaming_server.bench.dia.plan import FRAME_MS, TEXT
from streaming_server.bench.dia.quantiles import quantiles
from streaming_server.engines.dia.kernels import has_triton
from streaming_server.engines.dia.model.codec import Codec
from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA
from streaming_server.engines.dia.model.transformer import DiaModel
from streaming_server.engines.dia.serving.cuda import CapturedGraph, Cuda
from streaming_server.engines.dia.serving.engine import DiaEngine
from streaming_server.engines.dia.serving.graphs import GraphRunner
from streaming_server.engines.dia.serving.slots import NO_END, Slots
from streaming_server.engines.dia.serving.stream import CHUNK_SIZES
from streaming_server.engines.dia.weights.hub import locate
from streaming_server.engines.dia.weights.loader import read_codec, read_dia
from streaming_server.types import DEFAULT_VOICE, FLOW_WINDOW, Audio, Generation, Utterance

COUNTS: Final = (1, 32, 128, 216, 256)
_CPU: Final = torch.device("cpu")
_SETTLING: Final = 1200
"""Steps before the timed ones: by then streams that are ahead of their listeners have begun to pause."""

_TIMED: Final = 400
_STEP_S: Final = 0.5 * FRAME_MS / 1e3
"""Time that passes for the listeners with each step: the device is twice as fast as real time."""

_BYTES_PER_S: Final = 2 * TINY_CODEC.sample_rate
_REPORT_BYTES: Final = FLOW_WINDOW // 8
"""Bytes heard between two reports of a listener, as in `pool.channel`."""


class AbsentDevice(Cuda):
    """A device on which everything is done at once and nothing is computed.

    Of the graphs on the urgent stream, which is the model's, not even the warm-up runs, so that Triton's
    kernels need no GPU: no slot ever ends. Those of the codec run once, for the shape of their output.
    """

    def __init__(self, slots: int) -> None:
        super().__init__(_CPU)
        self._ends = torch.full((slots,), NO_END)

    def stream(self, urgent: bool = False) -> Any:
        return _AbsentStream(urgent)

    def use_stream(self, stream: Any) -> AbstractContextManager[Any]:
        return nullcontext()

    def record_event(self, stream: Any, timing: bool = False) -> Any:
        return _PastEvent()

    def pinned(self, rows: ArrayLike) -> Tensor:
        return torch.from_numpy(np.array(rows, np.int64))

    def pinned_like(self, like: Tensor) -> Tensor:
        return torch.empty_like(like)

    def pool(self) -> Any:
        return None

    def capture(self, body: Any, inputs: Tensor, stream: Any, pool: Any) -> CapturedGraph:
        with torch.inference_mode():
            output = self._ends if stream.urgent else body()
        return CapturedGraph(inputs, output, _nothing, self.pinned_like)

    def synchronize(self) -> None:
        """Return at once."""

    def empty_cache(self) -> None:
        """Keep what there is."""

    def clear_workspaces(self) -> None:
        """Keep what there is."""


class _AbsentStream:
    def __init__(self, urgent: bool) -> None:
        self.urgent = urgent

    def wait_event(self, event: Any) -> None:
        """Return at once."""


class _PastEvent:
    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        """Return at once."""

    def elapsed_time(self, end: Any) -> float:
        return 0.1


def _nothing() -> None:
    """Compute nothing."""


def engine_without_device(slots: int, paced: bool = False) -> DiaEngine:
    """Return the engine for a GPU, of tiny dimensions, on an absent device."""
    with torch.inference_mode():
        tensors = read_dia(locate("random:tiny", ""), TINY_DIA, _CPU, torch.float32)
        sound = read_codec(locate("random:tiny", ""), TINY_CODEC, _CPU, torch.float32)
        model = DiaModel(TINY_DIA, tensors)
        pages = 80 * slots if has_triton() else None
        codec = Codec(TINY_CODEC, sound, slots + 1)
        runner = GraphRunner(Slots(model, slots, pages=pages), codec, CHUNK_SIZES, AbsentDevice(slots))
    return DiaEngine(runner, paced=paced)


class Listeners:
    """Streams that begin one step after another, and listeners who play them as time passes.

    Time passes by `_STEP_S` with each step, however long the host takes for it.
    """

    def __init__(self, engine: DiaEngine, count: int, first: int = 1) -> None:
        """first: the number of the first stream; each needs its own."""
        self._engine = engine
        self._numbers = range(first, first + count)
        self._waiting = list(self._numbers)
        self._came: dict[int, int] = {}
        self._received: dict[int, int] = {}
        self._reported: dict[int, int] = {}
        self._steps = 0

    def step(self) -> float:
        """Step the engine as a worker does; return the seconds of that and of what listeners report."""
        if self._waiting:
            self._submit(self._waiting.pop())
        self._steps += 1
        reports = self._due_reports()
        started = time.thread_time()
        for utterance_id, taken in reports:
            self._engine.taken(utterance_id, taken)
        events = self._engine.step() if self._engine.active else []
        took = time.thread_time() - started
        for event in events:
            if isinstance(event, Audio):
                self._came.setdefault(event.utterance, self._steps)
                before = self._received.get(event.utterance, 0)
                self._received[event.utterance] = before + len(event.pcm)
        return took

    def leave(self) -> None:
        """Cancel all streams."""
        for number in self._numbers:
            self._engine.cancel(number)
            self._engine.release(number)
        while self._engine.active:
            self._engine.step()

    def _submit(self, number: int) -> None:
        generation = Generation(max_tokens=3072, seed=number)
        self._engine.submit(Utterance(number, number, TEXT, DEFAULT_VOICE, generation, time.monotonic()))

    def _due_reports(self) -> list[tuple[int, int]]:
        due = []
        for utterance_id, came in self._came.items():
            received = self._received[utterance_id]
            taken = min(received, int((self._steps - came) * _STEP_S * _BYTES_PER_S))
            if received >= FLOW_WINDOW and taken - self._reported.get(utterance_id, 0) >= _REPORT_BYTES:
                self._reported[utterance_id] = taken
                due.append((utterance_id, taken))
        return due


def host_time(counts: tuple[int, ...] = COUNTS) -> dict[str, dict[str, float | None]]:
    """Return the host's µs a step, by the number of streams that begin and pause as they do in a server."""
    engine, found, first = engine_without_device(max(counts), paced=True), {}, 1
    for count in counts:
        listeners = Listeners(engine, count, first)
        first += count
        for _ in range(_SETTLING):
            listeners.step()
        times = [listeners.step() * 1e6 for _ in range(_TIMED)]
        listeners.leave()
        found[str(count)] = quantiles(times, "_us") | {"mean_us": statistics.fmean(times)}
    engine.close()
    return found
