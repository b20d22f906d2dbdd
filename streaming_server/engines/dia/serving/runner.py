"""Run the model and the codec directly; `graphs` does the same through CUDA graphs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.model.codec import Codec, codec_slot_bytes, to_pcm
from streaming_server.engines.dia.model.kv_cache import KVCacheView, SlotIndex
from streaming_server.engines.dia.serving.prefill import Beginning, Prefill
from streaming_server.engines.dia.serving.slots import Slots

_GRAIN = 64
"""Cache lengths are rounded up to multiples of this."""


class AudioChunk(NamedTuple):
    """Frames of one stream to decode into audio.

    first: frames decoded before. row: the row where the first of these frames begins. length: frames in
    all, or `UNKNOWN_LENGTH`. token: returned with the audio.
    """

    slot: int
    first: int
    row: int
    length: int
    token: object


@dataclass(frozen=True, slots=True)
class StepShape:
    """Extents that one step has to cover: cache lengths, candidates, and whether any stream samples."""

    frames: int
    text: int
    candidates: int
    sample: bool


ANY_SHAPE: Final = StepShape(0, 0, 0, True)
"""Given to runners whose steps cover everything anyway."""


class TimeBudget:
    """A limit on the time a job that runs in pieces may take, by the host's clock."""

    def __init__(self, seconds: float) -> None:
        self._stop = time.perf_counter() + seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop measuring."""

    def spend(self) -> None:
        """Record that one more piece was started."""

    @property
    def exhausted(self) -> bool:
        return time.perf_counter() >= self._stop


class Runner:
    """Run everything synchronously; results are ready when a call returns."""

    shaped = True
    """True if steps depend on their `StepShape`."""

    delay = 0
    """Steps by which `read_ends` may lag."""

    codec_batch = 1
    """Chunks decoded together.

    Batched convolutions may round differently and gain little on a CPU, so there each chunk is decoded
    alone and sounds the same, bit for bit, in any company."""

    codec_patience = 0
    """Steps that a chunk of a listener with audio to spare may wait for others; fewer than those for which
    `Streams` provides memory."""

    def __init__(self, slots: Slots, codec: Codec) -> None:
        self.slots = slots
        self.codec = codec
        self.steps = 0
        self._prefill = Prefill(slots)
        self._views: dict[tuple[int, int, int, int], KVCacheView] = {}
        self._decoded: list[tuple[AudioChunk, NDArray[np.int16]]] = []

    def compute_scope(self) -> AbstractContextManager[Any]:
        """Return the context in which everything that concerns the model must run."""
        return nullcontext()

    def admit(self, slot: int, text: int, frames: int) -> bool:
        """Reserve memory for a new stream of `text` bytes of text and `frames` expected frames.

        Returns False if there is not enough until others end. Here every slot has its own.
        """
        return True

    def grow(self, slot: int, frames: int) -> bool:
        """Provide memory for `frames` frames, beyond those expected if need be; `admit` the slot first.

        Returns False if it must not advance until others have ended.
        """
        return True

    def release(self, slot: int) -> None:
        """Free what `admit` and `grow` provided. Idempotent."""

    def prefill(self, slot: int, beginning: Beginning) -> Iterator[None]:
        """Prefill a slot, which must have memory for its prompt, yielding after every piece."""
        return self._prefill.pieces(slot, beginning)

    def step(self, slot_ids: Sequence[int], shape: StepShape) -> None:
        """Generate one more row in these slots, given in ascending order."""
        frames = min(-(-shape.frames // _GRAIN) * _GRAIN, self.slots.frames)
        text = min(-(-shape.text // _GRAIN) * _GRAIN, self.slots.text)
        chosen: SlotIndex
        if slot_ids[-1] - slot_ids[0] == len(slot_ids) - 1:
            chosen = slice(slot_ids[0], slot_ids[-1] + 1)
            view = self._view(chosen, frames, text)
        else:
            chosen = torch.tensor(slot_ids, device=self.slots.model.device)
            view = KVCacheView(self.slots.cache, chosen, frames, text)
        self.slots.step(view, chosen, None, shape.candidates, shape.sample)
        self.steps += 1

    def computed_anyway(self, slot_ids: Sequence[int]) -> range:
        """Return slots that a step of these computes anyway, whether or not they advance."""
        return range(0)

    def _view(self, slot_ids: slice, frames: int, text: int) -> KVCacheView:
        key = (slot_ids.start, slot_ids.stop, frames, text)
        view = self._views.get(key)
        if view is None:
            if len(self._views) > 64:
                self._views.clear()
            view = self._views[key] = KVCacheView(self.slots.cache, slot_ids, frames, text)
        return view

    @property
    def stream_bytes(self) -> int:
        """Size of the streams' state in the model and in the codec, whether or not there are any."""
        each = codec_slot_bytes(self.codec.config, self.codec.dtype)
        return self.slots.cache_bytes + self.slots.count * each

    def read_ends(self, wait: bool = False) -> tuple[int, NDArray[np.int64]]:
        """Return the number of steps seen and each slot's end-of-audio row after them; with `wait`, after all
        steps.
        """
        return self.steps, self.slots.ends.cpu().numpy()

    def throttle(self) -> None:
        """Wait until the device is no further behind than it should be."""

    def time_budget(self, seconds: float) -> TimeBudget:
        """Start a budget of `seconds`."""
        return TimeBudget(seconds)

    def reset_codec(self, slot: int) -> None:
        """Clear a slot's codec state for a new stream."""
        self.codec.reset(slot)

    def decode(self, chunks: Sequence[AudioChunk], frames: int) -> None:
        """Decode `frames` frames of each chunk; at most `codec_batch` chunks, no slot twice.

        If memory runs out, nothing has been decoded.
        """
        device = self.codec.device
        slot_ids = torch.tensor([chunk.slot for chunk in chunks], device=device)
        rows = torch.tensor([chunk.row for chunk in chunks], device=device)
        first = torch.tensor([chunk.first for chunk in chunks], device=device)
        length = torch.tensor([chunk.length for chunk in chunks], device=device)
        codes = self.slots.frames_of(slot_ids, rows, frames)
        edges = touches_edge(chunks, frames, self.codec.lag_frames)
        pcm = to_pcm(self.codec.decode(codes, slot_ids, first, length, edges)).cpu().numpy()
        self._decoded.extend(zip(chunks, pcm, strict=True))

    def collect_audio(self, wait: bool) -> list[tuple[AudioChunk, NDArray[np.int16]]]:
        """Return decoded chunks in order; with `wait`, all of them."""
        done, self._decoded = self._decoded, []
        return done

    def frames(self, slot: int, row: int, count: int) -> Tensor:
        """Return a copy of generated frames, [count, channels], on the device, starting at `row`."""
        codes, delays = self.slots.codes[slot], self.slots.model.config.delays
        return torch.stack([codes[row + d : row + d + count, c] for c, d in enumerate(delays)], dim=1)

    def realtime_streams(self) -> int:
        """Return how many streams the device generates in real time, as far as is known; at least 1."""
        return self.slots.count

    def relieve(self) -> None:
        """Drop caches."""
        self._views.clear()

    def close(self) -> None:
        self._views.clear()
        self._decoded.clear()


def touches_edge(chunks: Sequence[AudioChunk], frames: int, reach: int) -> bool:
    """Return whether any chunk lies so near its stream's beginning or end that the codec must mask it."""
    return any(chunk.first < reach or chunk.first + frames > chunk.length for chunk in chunks)
