"""Runs the model and the codec of an engine: here directly, in `graphs` through CUDA graphs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.model.codec import Codec, to_pcm
from streaming_server.engines.dia.model.transformer import CacheView, Lanes
from streaming_server.engines.dia.serving.slots import Slots

_GRAIN = 64
"""Lengths of caches are looked at in multiples of this."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames of one stream to be made into sound.

    first: frames fed before. row: where the first of these begins. length: frames in all, or `ENDLESS`.
    token: handed back with the sound.
    """

    slot: int
    first: int
    row: int
    length: int
    token: object


@dataclass(frozen=True, slots=True)
class Load:
    """What one step has to look at: cache lengths, candidates, and whether any stream samples."""

    frames: int
    text: int
    breadth: int
    sample: bool


class Meter:
    """Whether the time there is for a job that comes in pieces is used up, by the host's clock."""

    def __init__(self, seconds: float) -> None:
        self._stop = time.perf_counter() + seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The job rests."""

    def count(self) -> None:
        """One piece more is under way."""

    @property
    def spent(self) -> bool:
        return time.perf_counter() >= self._stop


class Runner:
    """Everything at once and in order; results are there when a call returns."""

    delay = 0
    """Steps by which `ends` may be late."""

    codec_batch = 1
    """Pieces decoded together.

    Convolutions of a batch may round otherwise than those of one stream, and on a CPU gain little, so there
    each piece is decoded by itself and sounds the same, bit for bit, in any company.
    """

    def __init__(self, slots: Slots, codec: Codec) -> None:
        self.slots = slots
        self.codec = codec
        self.steps = 0
        self._views: dict[tuple[int, int, int, int], CacheView] = {}
        self._sound: list[tuple[Piece, NDArray[np.int16]]] = []

    def computing(self) -> AbstractContextManager[Any]:
        """Where all that concerns the model has to happen."""
        return nullcontext()

    def step(self, lanes: Sequence[int], load: Load) -> None:
        """Speak one more row in these slots, given in ascending order."""
        frames = min(-(-load.frames // _GRAIN) * _GRAIN, self.slots.frames)
        text = min(-(-load.text // _GRAIN) * _GRAIN, self.slots.text)
        chosen: Lanes
        if lanes[-1] - lanes[0] == len(lanes) - 1:
            chosen = slice(lanes[0], lanes[-1] + 1)
            view = self._view(chosen, frames, text)
        else:
            chosen = torch.tensor(lanes, device=self.slots.model.device)
            view = CacheView(self.slots.caches, chosen, frames, text)
        self.slots.step(view, chosen, None, load.breadth, load.sample)
        self.steps += 1

    def computed_with(self, lanes: Sequence[int]) -> range:
        """Slots that a step of these computes anyway, whether or not they move on."""
        return range(0)

    def _view(self, lanes: slice, frames: int, text: int) -> CacheView:
        key = (lanes.start, lanes.stop, frames, text)
        view = self._views.get(key)
        if view is None:
            if len(self._views) > 64:
                self._views.clear()
            view = self._views[key] = CacheView(self.slots.caches, lanes, frames, text)
        return view

    def ends(self, wait: bool = False) -> tuple[int, list[int]]:
        """The rows of end of audio, per slot, as they were after so many steps; with `wait`, after all."""
        return self.steps, self.slots.progress[:, 1].tolist()

    def keep_pace(self) -> None:
        """Return when the device is no further behind than it should be."""

    def meter(self, seconds: float) -> Meter:
        """Measures what is computed from now on."""
        return Meter(seconds)

    def begin_sound(self, slot: int) -> None:
        """The slot's sound starts anew."""
        self.codec.begin(slot)

    def decode(self, pieces: Sequence[Piece], frames: int) -> None:
        """Make as many frames of each piece into sound; at most `codec_batch` pieces, no slot twice.

        Where it fails for want of memory, nothing has been decoded.
        """
        device = self.codec.device
        lanes = torch.tensor([piece.slot for piece in pieces], device=device)
        rows = torch.tensor([piece.row for piece in pieces], device=device)
        first = torch.tensor([piece.first for piece in pieces], device=device)
        length = torch.tensor([piece.length for piece in pieces], device=device)
        codes = self.slots.frames_of(lanes, rows, frames)
        edges = near_an_edge(pieces, frames, self.codec.lag_frames)
        pcm = to_pcm(self.codec.decode(codes, lanes, first, length, edges)).cpu().numpy()
        self._sound.extend(zip(pieces, pcm, strict=True))

    def sound(self, wait: bool) -> list[tuple[Piece, NDArray[np.int16]]]:
        """What has become of decoded pieces, in order; with `wait`, of all of them."""
        done, self._sound = self._sound, []
        return done

    def frames(self, slot: int, row: int, count: int) -> Tensor:
        """A copy of frames spoken, [count, channels], on the device; the first begins at `row`."""
        codes, delays = self.slots.codes[slot], self.slots.model.config.delays
        return torch.stack([codes[row + d : row + d + count, c] for c, d in enumerate(delays)], dim=1)

    def in_real_time(self) -> int:
        """Streams the device speaks at once without falling behind, as far as is known; at least 1."""
        return self.slots.count

    def relieve(self) -> None:
        """Forget what can be made again."""
        self._views.clear()

    def close(self) -> None:
        self._views.clear()
        self._sound.clear()


def near_an_edge(pieces: Sequence[Piece], frames: int, reach: int) -> bool:
    """Whether any piece lies so near its stream's beginning or end that the codec must look for it."""
    return any(piece.first < reach or piece.first + frames > piece.length for piece in pieces)
