"""CUDA graphs of prefill: one per length of text, and one for a piece of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from streaming_server.engines.dia.serving.cuda import CapturedGraph, Cuda
from streaming_server.engines.dia.serving.graph_timer import graph_seconds
from streaming_server.engines.dia.serving.prefill import PIECE_ROWS, Beginning
from streaming_server.engines.dia.serving.slots import Slots

TEXTS: Final = (64, 128, 256, 512, 1024)
"""Lengths that texts are padded to, below the longest."""


class PrefillGraphs:
    """Prefill of slots that have pages. stream, pool: the CUDA stream and memory pool of the model."""

    def __init__(self, slots: Slots, cuda: Cuda, stream: Any, pool: Any) -> None:
        from streaming_server.engines.dia.serving.fused_prefill import FusedPrefill

        self._slots = slots
        self._cuda = cuda
        self._stream = stream
        prefill = FusedPrefill(slots)

        def captured(body: Callable[[Tensor], None], width: int) -> CapturedGraph:
            """Capture with inputs under which a slot without pages is prefilled."""
            inputs = torch.zeros(width, device=cuda.device, dtype=torch.int64)

            def run() -> Tensor:
                body(inputs)
                return inputs

            inputs[1:] = 1
            return cuda.capture(run, inputs, stream, pool)

        self._texts = {length: captured(prefill.read_text, 2 + length) for length in text_lengths(slots.text)}
        self._rows = captured(prefill.feed_rows, 4)

    def __len__(self) -> int:
        return len(self._texts) + 1

    def pieces(self, slot: int, beginning: Beginning) -> Iterator[None]:
        """Prefill a slot, which has the pages for it, yielding after every graph."""
        slots, text = self._slots, len(beginning.ids)
        length = next(length for length in self._texts if length >= text)
        inputs = np.zeros(2 + length, np.int64)
        inputs[:2] = slot, text
        inputs[2 : 2 + text] = np.frombuffer(beginning.ids, np.uint8)
        self._replay(self._texts[length], inputs)
        yield
        codes = beginning.prompt_codes(slots.codes.shape[2], slots.codes.device)
        rows = slots.begin(slot, codes, text, beginning.params) - 1
        for first in range(0, rows, PIECE_ROWS):
            self._replay(self._rows, np.array([slot, first, min(PIECE_ROWS, rows - first), text], np.int64))
            yield

    def seconds(self) -> dict[str, float]:
        """Time every graph: a text of each length, and the fourth piece of a prompt.

        Slot 0 must have all its pages, and no stream may be served meanwhile.
        """
        found = {}
        for length, graph in self._texts.items():
            graph.inputs.fill_(1)
            graph.inputs[:2] = torch.tensor([0, length])
            found[f"text {length}"] = graph_seconds(self._cuda, graph, self._stream)
        first = min(3 * PIECE_ROWS, max(0, self._slots.frames - PIECE_ROWS))
        self._rows.inputs.copy_(torch.tensor([0, first, PIECE_ROWS, min(TEXTS[1], self._slots.text)]))
        found[f"{PIECE_ROWS} rows"] = graph_seconds(self._cuda, self._rows, self._stream)
        return found

    def _replay(self, graph: CapturedGraph, inputs: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        graph.inputs.copy_(self._cuda.pinned(inputs), non_blocking=True)
        graph.replay()


def text_lengths(longest: int) -> list[int]:
    """Return the lengths that texts of at most `longest` bytes are padded to, in ascending order."""
    return [*(length for length in TEXTS if length < longest), longest]
