"""CUDA graphs of the decode step: which there are, and which one computes a set of slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.model.kv_cache import KVCacheView, SlotIndex
from streaming_server.engines.dia.model.sampling import DEFAULT_CANDIDATES
from streaming_server.engines.dia.serving.cuda import CapturedGraph
from streaming_server.engines.dia.serving.page_table import PageTable
from streaming_server.engines.dia.serving.runner import StepShape
from streaming_server.engines.dia.serving.slots import Slots

BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 256)
"""Batch sizes that have a graph; a batch is padded to the next."""

FRAMES: Final = (1024, 2048, 3072)
"""Lengths of the self-attention cache that have a masked graph."""

TEXTS: Final = (256, 1024)
"""Lengths of the cross-attention cache that have a masked graph."""

GATHERED: Final = 32
"""Largest masked batch of slots that are not contiguous: their cache is gathered for the step."""

_TRIAL_FRAMES: Final = 1024
_TRIAL_TEXT: Final = 256
"""Lengths at which steps are timed: 12 s of audio and a long sentence."""

_TRIAL_LONG: Final = 8
"""Streams for each one that is near the greatest length when steps are timed."""

Capture = Callable[[Callable[[], None], Tensor], CapturedGraph]
"""Capture a step that reads the tensor: int64, in its rows slot ids, whether each advances, and more."""


@dataclass(frozen=True, slots=True)
class StepBatch:
    """A graph and the rows to upload for it: slot ids, padded, whether each advances, and more."""

    graph: CapturedGraph
    rows: NDArray[np.int64]


class FusedSteps:
    """One graph per batch size, made of Triton kernels: any slots with pages, whatever their lengths.

    table: its pending entries are uploaded with the steps.
    """

    def __init__(self, slots: Slots, table: PageTable, capture: Capture) -> None:
        from streaming_server.engines.dia.serving.fused_step import FusedStep

        self._slots = slots
        self._table = table
        self._graphs: dict[int, CapturedGraph] = {}
        self._slot_ids: list[int] = []
        self._rows = np.zeros((4, 0), np.int64)
        step = FusedStep(slots)
        for size in sizes(slots.count):
            inputs = torch.zeros(4, size, device=slots.codes.device, dtype=torch.int64)
            inputs[2] = -1
            self._graphs[size] = capture(_bound(step, inputs), inputs)

    def __len__(self) -> int:
        return len(self._graphs)

    def batch(self, slot_ids: Sequence[int], shape: StepShape) -> StepBatch:
        """Return the graph that computes these slots, given in ascending order."""
        size = bucket(len(slot_ids), self._slots.count)
        if slot_ids != self._slot_ids:
            self._slot_ids = list(slot_ids)
            self._rows = np.zeros((4, size), np.int64)
            self._rows[0] = slot_ids[0]
            self._rows[0, : len(slot_ids)] = slot_ids
            self._rows[1, : len(slot_ids)] = 1
        self._rows[2] = -1
        pending = self._table.pending
        for index, place in enumerate(list(pending)[:size]):
            self._rows[2:, index] = place, pending.pop(place)
        return StepBatch(self._graphs[size], self._rows)

    def computed_anyway(self, slot_ids: Sequence[int]) -> range:
        """Return slots that a step of these computes anyway: none."""
        return range(0)

    @contextmanager
    def trial(self, size: int) -> Iterator[CapturedGraph]:
        """Yield the graph by which real time is judged at this batch size; it computes streams of 12 s.

        No stream may be served meanwhile.
        """
        graph = self._graphs[size]
        self._slots.pretend(_TRIAL_FRAMES, _TRIAL_TEXT, _TRIAL_LONG)
        graph.inputs[0] = torch.arange(size, device=graph.inputs.device)
        graph.inputs[1] = 1
        try:
            yield graph
        finally:
            graph.inputs[:2] = 0
            self._slots.clear()

    def clear(self) -> None:
        self._graphs.clear()


class MaskedSteps:
    """Graphs of the plain step, per batch size, cache lengths, and whether the slots are contiguous.

    A step that ranks more than the default candidates uses the greatest lengths.
    """

    def __init__(self, slots: Slots, capture: Capture) -> None:
        self._slots = slots
        self._capture = capture
        self._graphs: dict[tuple[int, bool, StepShape], CapturedGraph] = {}
        vocabulary = slots.model.config.decoder.vocabulary
        self._candidates = min(DEFAULT_CANDIDATES, vocabulary)
        self._widest = StepShape(slots.frames, slots.text, vocabulary, True)
        usual = [StepShape(frames, text, self._candidates, True) for frames in FRAMES for text in TEXTS]
        shapes = {self._covering(shape) for shape in [*usual, self._widest]}
        for size in sizes(slots.count):
            for shape in shapes:
                self._graphs[size, True, shape] = self._captured(size, True, shape)
                if size <= GATHERED and size < slots.count:
                    self._graphs[size, False, shape] = self._captured(size, False, shape)

    def __len__(self) -> int:
        return len(self._graphs)

    def batch(self, slot_ids: Sequence[int], shape: StepShape) -> StepBatch:
        """Return the graph that computes these slots, given in ascending order."""
        covered = self.computed_anyway(slot_ids)
        count = self._slots.count
        size = len(covered) or bucket(len(slot_ids), count)
        chosen = list(covered) or padded(slot_ids, size, count)
        members = set(slot_ids)
        graph = self._graphs[size, len(covered) > 0, self._covering(shape)]
        return StepBatch(graph, np.array([chosen, [slot_id in members for slot_id in chosen]], np.int64))

    def computed_anyway(self, slot_ids: Sequence[int]) -> range:
        """Return the first slots up to the last of these; none if they are few and far apart."""
        size = bucket(len(slot_ids), self._slots.count)
        if slot_ids[-1] >= size and size <= GATHERED:
            return range(0)
        return range(bucket(slot_ids[-1] + 1, self._slots.count))

    @contextmanager
    def trial(self, size: int) -> Iterator[CapturedGraph]:
        """Yield the graph of this batch size, as in `FusedSteps`."""
        shape = self._covering(StepShape(_TRIAL_FRAMES, _TRIAL_TEXT, self._candidates, True))
        yield self._graphs[size, True, shape]

    def clear(self) -> None:
        self._graphs.clear()

    def _covering(self, shape: StepShape) -> StepShape:
        """Return the smallest shape with a graph that covers `shape`."""
        if shape.candidates > self._candidates:
            return self._widest
        most = self._slots
        frames = next((size for size in FRAMES if size >= shape.frames), most.frames)
        text = next((size for size in TEXTS if size >= shape.text), most.text)
        return StepShape(min(frames, most.frames), min(text, most.text), self._candidates, True)

    def _captured(self, size: int, contiguous: bool, shape: StepShape) -> CapturedGraph:
        slots = self._slots
        inputs = torch.zeros(2, size, device=slots.codes.device, dtype=torch.int64)
        inputs[0] = torch.arange(size, device=slots.codes.device)

        def body() -> None:
            slot_ids: SlotIndex = slice(0, size) if contiguous else inputs[0]
            view = KVCacheView(slots.cache, slot_ids, shape.frames, shape.text)
            slots.step(view, slot_ids, inputs[1, :, None] != 0, shape.candidates, shape.sample)

        return self._capture(body, inputs)


def _bound(step: Callable[[Tensor], None], inputs: Tensor) -> Callable[[], None]:
    return lambda: step(inputs)


def sizes(slots: int) -> list[int]:
    """Return the batch sizes that have a graph."""
    return sorted({bucket(size, slots) for size in BUCKETS})


def bucket(count: int, most: int) -> int:
    """Return the batch size that holds `count` streams, at most `most`."""
    return min(next((size for size in BUCKETS if size >= count), most), most)


def padded(slot_ids: Sequence[int], size: int, slots: int) -> list[int]:
    """Pad `slot_ids` with other slots to `size`."""
    members = set(slot_ids)
    others = (slot for slot in range(slots) if slot not in members)
    return [*slot_ids, *(next(others) for _ in range(size - len(slot_ids)))]
