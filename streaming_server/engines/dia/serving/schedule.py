"""Track which streams advance with a step, and when their next chunk is due, without a walk over all streams.

A step advances every running stream by one row, so rows are not counted one by one: a running stream's row is
that at which it began to run, plus the steps since. What happens at a certain row is kept in a heap, and the
running streams in a sorted list. Only when some streams yield to others are the yielding ones iterated.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
import time
from collections.abc import Sequence

from streaming_server.engines.dia.serving.runner import ANY_SHAPE, StepShape
from streaming_server.engines.dia.serving.stream import Steps, Stream

AMPLE_S = 2.0
"""A stream whose listener has this much audio buffered yields to streams about to underrun."""

URGENT_S = 0.5
"""A stream whose listener has less than this buffered is about to underrun."""


class Schedule:
    """Tracks running streams and when each needs attention.

    last_delay: rows by which the last channel lags the first. shaped: whether steps need their extents.
    """

    def __init__(self, last_delay: int, sample_rate: int, shaped: bool = True) -> None:
        self._last_delay = last_delay
        self._sample_rate = sample_rate
        self._shaped = shaped
        self._ample: dict[int, Stream] = {}
        self._low: dict[int, Stream] = {}
        self._ample_until: list[tuple[float, int, Stream]] = []
        # No stream is about to underrun before, since a stream's `underrun_at` never falls.
        self._none_urgent_until = math.inf
        self.steps = Steps()
        self._running: dict[int, Stream] = {}
        self._order: list[Stream] = []
        self._slots: list[int] = []
        self._shape: StepShape | None = None
        self._events: list[tuple[int, int, Stream]] = []
        self._numbers = itertools.count()

    def underrun_at(self, stream: Stream) -> float:
        """Return when a stream's listener runs out of audio: the earlier, the more urgent."""
        return stream.underrun_at(self._sample_rate)

    def set_running(self, stream: Stream, runs: bool) -> None:
        """Start or stop advancing a stream. Idempotent."""
        slot = stream.slot
        if runs == (self._running.get(slot) is stream):
            return
        self._shape = None
        place = bisect.bisect_left(self._slots, slot)
        if runs:
            stream.run()
            self._running[slot] = stream
            self._slots.insert(place, slot)
            self._order.insert(place, stream)
            self.expect(stream)
            self.buffered(stream)
        else:
            stream.rest()
            del self._running[slot], self._slots[place], self._order[place]
            self._ample.pop(slot, None)
            self._low.pop(slot, None)

    @property
    def running(self) -> list[Stream]:
        """Running streams by ascending slot; changes with them."""
        return self._order

    def buffered(self, stream: Stream) -> None:
        """Note that a stream's listener may have more audio buffered."""
        slot = stream.slot
        if self._running.get(slot) is not stream or slot in self._ample:
            return
        underrun_at = stream.underrun_at(self._sample_rate)
        until = underrun_at - AMPLE_S
        if until <= time.monotonic():
            self._low[slot] = stream
            self._none_urgent_until = min(self._none_urgent_until, underrun_at - URGENT_S)
            return
        self._low.pop(slot, None)
        self._ample[slot] = stream
        heapq.heappush(self._ample_until, (until, next(self._numbers), stream))

    def prioritized(self) -> dict[int, Stream]:
        """Return the running streams that others yield to; none if no stream is about to underrun.

        Those that yield have at least `AMPLE_S` buffered; if there are none, the result is empty, too.
        """
        now = time.monotonic()
        while self._ample_until and self._ample_until[0][0] <= now:
            stream = heapq.heappop(self._ample_until)[2]
            if self._ample.get(stream.slot) is stream:
                del self._ample[stream.slot]
                self.buffered(stream)
        if not self._ample or now <= self._none_urgent_until:
            return {}
        earliest = math.inf
        for stream in self._low.values():
            underrun_at = stream.underrun_at(self._sample_rate)
            if underrun_at - URGENT_S < now:
                return self._low
            earliest = min(earliest, underrun_at)
        self._none_urgent_until = earliest - URGENT_S
        return {}

    def batch(self, chosen: Sequence[Stream]) -> tuple[list[int], StepShape]:
        """Return the slots of a step of these streams, and what it has to cover."""
        everybody = chosen is self._order
        slots = self._slots if everybody else [stream.slot for stream in chosen]
        if not self._shaped:
            return slots, ANY_SHAPE
        shape = self._shape if everybody and self._shape is not None else _shape_of(chosen)
        if everybody:
            self._shape = shape
        frames = self.steps.count + shape.frames + 1
        return slots, StepShape(frames, shape.text, shape.candidates, shape.sample)

    def advance(self, chosen: Sequence[Stream]) -> None:
        """Count a step that advanced these streams."""
        self.steps.count += 1
        if len(chosen) == len(self._running):
            return
        members = {stream.slot for stream in chosen}
        for slot, stream in self._running.items():
            if slot not in members:
                stream.offset -= 1
        self._shape = None

    def expect(self, stream: Stream) -> None:
        """Look at a running stream again when its next chunk is due or it has nothing more to generate."""
        target = min(stream.due, stream.last_row(self._last_delay))
        step = self.steps.count + max(1, target - stream.row)
        heapq.heappush(self._events, (step, next(self._numbers), stream))

    def arrived(self) -> list[Stream]:
        """Return the streams that have reached what was expected of them."""
        found: list[Stream] = []
        while self._events and self._events[0][0] <= self.steps.count:
            stream = heapq.heappop(self._events)[2]
            if self._running.get(stream.slot) is not stream:
                continue  # It is expected again when it runs again.
            if stream.row >= min(stream.due, stream.last_row(self._last_delay)):
                found.append(stream)
            else:
                self.expect(stream)
        return found

    def clear(self) -> None:
        self._running.clear()
        self._events.clear()
        self._ample.clear()
        self._low.clear()
        self._ample_until.clear()
        self._order, self._slots = [], []


def _shape_of(streams: Sequence[Stream]) -> StepShape:
    """Return what a step of running streams has to cover; frames less the steps made so far, less one."""
    return StepShape(
        frames=max((stream.offset for stream in streams), default=0),
        text=max((len(stream.ids) for stream in streams), default=0),
        candidates=max((stream.candidates for stream in streams), default=0),
        sample=any(stream.sampling.temperature > 0 for stream in streams),
    )
