"""Flow control for engines that speak faster than anyone listens."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from streaming_server.engines.base import Engine
from streaming_server.engines.wrapper import EngineWrapper
from streaming_server.types import (
    Audio,
    Event,
    Finished,
    Utterance,
    WordMark,
    Words,
)


class FlowControlled(EngineWrapper):
    """Keeps every utterance of another engine within a window of its listener.

    The other engine must be deterministic and much faster than real time. When a window of an utterance's PCM
    has not been taken, the utterance is cancelled and what it made beyond that is left out; once half of the
    window has been taken, it is synthesized again and everything sent before is skipped. A listener that
    stalls then costs little memory and some computing time, which `Finished.busy_s` includes.

    Audio comes in quarters of the window at most, since a reader holds one beside the window.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._flows: dict[int, _Flow] = {}
        self._uncharged_s = 0.0

    def submit(self, utterance: Utterance) -> None:
        self._flows[utterance.id] = _Flow(utterance)
        self._engine.submit(utterance)

    def cancel(self, utterance_id: int) -> None:
        if self._flows.pop(utterance_id, None) is not None:
            self._engine.cancel(utterance_id)

    def taken(self, utterance_id: int, size: int) -> None:
        if (flow := self._flows.get(utterance_id)) is None:
            return
        flow.taken = size
        if flow.paused and flow.ahead <= flow.utterance.window // 2:
            self._engine.submit(flow.restart(self.info.sample_rate))

    def step(self) -> list[Event]:
        started_at = time.perf_counter()
        stepped = self._engine.step()
        self._uncharged_s += time.perf_counter() - started_at
        uttered = {event.utterance for event in stepped}
        self._charge(self._flows_of(uttered))
        events = [event for one in stepped for event in self._filter(one)]
        for flow in self._flows_of(uttered):
            if flow.ahead >= flow.utterance.window - 1:
                flow.paused = True
                self._engine.cancel(flow.utterance.id)
        return events

    def close(self) -> None:
        self._flows.clear()
        super().close()

    def _flows_of(self, utterances: Iterable[int]) -> list[_Flow]:
        return [flow for utterance in utterances if (flow := self._flows.get(utterance))]

    def _charge(self, flows: list[_Flow]) -> None:
        """Divide the time since the last events among the utterances that have events now."""
        for flow in flows:
            flow.run_s += self._uncharged_s / len(flows)
        if flows:
            self._uncharged_s = 0.0

    def _filter(self, event: Event) -> Iterable[Event]:
        """Return the part of an event that was not sent before."""
        if (flow := self._flows.get(event.utterance)) is None:
            return ()
        if isinstance(event, Audio):
            return flow.new_audio(event)
        if isinstance(event, Words):
            return flow.new_words(event)
        if isinstance(event, Finished) and flow.run_bytes > flow.sent:
            return ()  # Its last audio was left out; the next run ends it.
        del self._flows[event.utterance]
        if isinstance(event, Finished):
            return (replace(event, busy_s=event.busy_s + flow.earlier_s),)
        return (event,)


@dataclass(slots=True)
class _Flow:
    """The progress of one utterance. A run is one synthesis of it, from its start.

    sent, taken: bytes of PCM. marks_sent: word marks. run_bytes, run_marks, run_s: bytes, word marks and
    seconds of the current run. earlier_s: seconds of the runs before it.
    """

    utterance: Utterance
    paused: bool = False
    sent: int = 0
    taken: int = 0
    marks_sent: int = 0
    run_bytes: int = 0
    run_marks: int = 0
    run_s: float = 0.0
    earlier_s: float = 0.0

    @property
    def ahead(self) -> int:
        """Bytes sent and not taken."""
        return self.sent - self.taken

    def restart(self, sample_rate: int) -> Utterance:
        """Begin another run and return its utterance, which is due when what was sent has been heard."""
        self.paused = False
        self.run_bytes = self.run_marks = 0
        self.earlier_s, self.run_s = self.earlier_s + self.run_s, 0.0
        return replace(self.utterance, deadline=self.utterance.deadline + self.sent / (2 * sample_rate))

    def new_audio(self, event: Audio) -> Iterable[Audio]:
        repeated = max(0, self.sent - self.run_bytes)
        self.run_bytes += len(event.pcm)
        room = max(0, self.utterance.window - self.ahead)
        end = min(len(event.pcm), repeated + room // 2 * 2)
        self.sent += max(0, end - repeated)
        most = max(1, self.utterance.window // 8) * 2
        pieces = [event.pcm[at : min(at + most, end)] for at in range(repeated, end, most)]
        return [event] if pieces == [event.pcm] else [replace(event, pcm=piece) for piece in pieces]

    def new_words(self, event: Words) -> Iterable[Words]:
        marks: tuple[WordMark, ...] = event.marks[max(0, self.marks_sent - self.run_marks) :]
        self.run_marks += len(event.marks)
        self.marks_sent = max(self.marks_sent, self.run_marks)
        return (replace(event, marks=marks),) if marks else ()
