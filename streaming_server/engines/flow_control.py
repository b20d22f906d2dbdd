"""Flow control for engines that speak faster than anyone listens."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from streaming_server.engines.base import Engine
from streaming_server.engines.wrapper import EngineWrapper
from streaming_server.types import (
    FLOW_WINDOW,
    Audio,
    Event,
    Finished,
    Utterance,
    WordMark,
    Words,
)


class FlowControlled(EngineWrapper):
    """Keeps every utterance of another engine within a window of its listener.

    The other engine must be deterministic and much faster than real time. When `window` bytes of an
    utterance's PCM have not been taken, the utterance is cancelled; once half of them have been, it is
    synthesized again and everything sent before is skipped. A listener that stalls then costs little memory
    and some computing time, which `Finished.busy_s` includes.
    """

    def __init__(self, engine: Engine, window: int = FLOW_WINDOW) -> None:
        super().__init__(engine)
        self._window = window
        self._flows: dict[int, _Flow] = {}

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
        if flow.paused and flow.ahead <= self._window // 2:
            self._engine.submit(flow.restart(self.info.sample_rate))

    def step(self) -> list[Event]:
        started_at = time.perf_counter()
        stepped = self._engine.step()
        stepped_s = time.perf_counter() - started_at
        events = [event for one in stepped if (event := self._filter(one)) is not None]
        flows = [flow for one in {event.utterance for event in stepped} if (flow := self._flows.get(one))]
        for flow in flows:
            flow.run_s += stepped_s / len(flows)
            if flow.ahead >= self._window:
                flow.paused = True
                self._engine.cancel(flow.utterance.id)
        return events

    def close(self) -> None:
        self._flows.clear()
        super().close()

    def _filter(self, event: Event) -> Event | None:
        """Return the part of an event that was not sent before."""
        if (flow := self._flows.get(event.utterance)) is None:
            return None
        if isinstance(event, Audio):
            return flow.new_audio(event)
        if isinstance(event, Words):
            return flow.new_words(event)
        del self._flows[event.utterance]
        return replace(event, busy_s=event.busy_s + flow.earlier_s) if isinstance(event, Finished) else event


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

    def new_audio(self, event: Audio) -> Audio | None:
        repeated = max(0, self.sent - self.run_bytes)
        self.run_bytes += len(event.pcm)
        self.sent = max(self.sent, self.run_bytes)
        pcm = event.pcm[repeated:]
        return replace(event, pcm=pcm) if pcm else None

    def new_words(self, event: Words) -> Words | None:
        marks: tuple[WordMark, ...] = event.marks[max(0, self.marks_sent - self.run_marks) :]
        self.run_marks += len(event.marks)
        self.marks_sent = max(self.marks_sent, self.run_marks)
        return replace(event, marks=marks) if marks else None
