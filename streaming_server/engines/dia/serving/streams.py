"""The streams that have a slot, and what each of them waits for."""

from __future__ import annotations

from streaming_server.engines.dia.serving.runner import Runner
from streaming_server.engines.dia.serving.schedule import Schedule
from streaming_server.engines.dia.serving.stream import Stream

_ROWS_TO_SPARE = 8
"""Rows beyond the next chunk for which a running stream has memory: it may be decoded some steps late."""


class Streams:
    """Streams by slot. All groups but `by_slot` are parts of it; `by_utterance` holds the same streams.

    paced: whether a stream pauses, keeping its slot, while it is ahead of its listener by its window.

    newcomers: being prefilled. unadmitted: waiting for memory for their next segment. open: whose end is
    unknown. ending: whose end is known. paused: waiting for their listener. idle: paused, and none of their
    audio is being decoded or about to be. starved: waiting for memory. due: with a complete chunk to decode.
    patient: with one that may wait for others.
    """

    def __init__(self, runner: Runner, schedule: Schedule, last_delay: int, paced: bool) -> None:
        self._runner = runner
        self._schedule = schedule
        self._last_delay = last_delay
        self._paced = paced
        self.by_slot: dict[int, Stream] = {}
        self.by_utterance: dict[int, Stream] = {}
        self.newcomers: dict[int, Stream] = {}
        self.unadmitted: dict[int, Stream] = {}
        self.open: dict[int, Stream] = {}
        self.ending: dict[int, Stream] = {}
        self.paused: dict[int, Stream] = {}
        self.idle: dict[int, Stream] = {}
        self.starved: dict[int, Stream] = {}
        self.due: dict[int, Stream] = {}
        self.patient: dict[int, Stream] = {}
        self._groups = (
            self.by_slot,
            self.newcomers,
            self.unadmitted,
            self.open,
            self.ending,
            self.paused,
            self.idle,
            self.starved,
            self.due,
            self.patient,
        )

    def __len__(self) -> int:
        return len(self.by_slot)

    def begin_segment(self, stream: Stream) -> None:
        """Add a stream, or begin its next segment."""
        slot = stream.slot
        for group in (self.ending, self.due, self.patient, self.starved):
            group.pop(slot, None)
        self.by_slot[slot] = self.by_utterance[stream.utterance.id] = stream
        self.newcomers[slot] = stream
        self.refresh(stream)

    def begin_generating(self, stream: Stream) -> None:
        """Let a newcomer generate, whose prefill has ended."""
        stream.prefill = None
        stream.born = self._runner.steps
        del self.newcomers[stream.slot]
        self.open[stream.slot] = stream
        self.refresh(stream)

    def refresh(self, stream: Stream) -> None:
        """Let a stream run or rest, as its state demands. Called whenever that changes."""
        if stream.released or stream.slot < 0:
            return
        paused = self._is_paused(stream)
        _enter(self.paused, stream, paused)
        sounding = stream.decoding > 0 or stream.slot in self.patient
        _enter(self.idle, stream, paused and not sounding)
        prepared = stream.prefill is None and stream.slot not in self.unadmitted
        ready = prepared and not stream.spoken(self._last_delay) and not paused
        self._schedule.set_running(stream, ready and self._has_memory(stream))

    def refresh_pause(self, stream: Stream) -> None:
        """Let a stream rest or run after audio was emitted; does nothing if it was and is not paused."""
        if self._is_paused(stream) or stream.slot in self.paused:
            self.refresh(stream)

    def remove(self, stream: Stream) -> None:
        """Free a stream's slot and its memory, for which others may be waiting."""
        stream.released = True
        self._schedule.set_running(stream, False)
        for group in self._groups:
            if group.get(stream.slot) is stream:
                del group[stream.slot]
        self.by_utterance.pop(stream.utterance.id, None)
        self.release_memory(stream)

    def release_memory(self, stream: Stream) -> None:
        """Free a stream's memory."""
        self._runner.release(stream.slot)
        for waiting in sorted(self.starved.values(), key=self._schedule.underrun_at):
            self.refresh(waiting)

    def clear(self) -> None:
        for group in self._groups:
            group.clear()
        self.by_utterance.clear()
        self._schedule.clear()

    def _has_memory(self, stream: Stream) -> bool:
        """Provide the memory to generate until the next chunk; return whether there is any."""
        row = max(stream.row + 1, min(stream.due, stream.last_row(self._last_delay)))
        if self._runner.grow(stream.slot, row + _ROWS_TO_SPARE):
            self.starved.pop(stream.slot, None)
            return True
        self.starved[stream.slot] = stream
        return False

    def _is_paused(self, stream: Stream) -> bool:
        """Return whether it waits for its listener, unless it has nothing left to generate."""
        ahead = 2 * stream.emitted - stream.taken
        return self._paced and ahead >= stream.utterance.window and stream.end is None


def _enter(group: dict[int, Stream], stream: Stream, belongs: bool) -> None:
    """Add a stream to a group or take it out."""
    if belongs:
        group[stream.slot] = stream
    else:
        group.pop(stream.slot, None)
