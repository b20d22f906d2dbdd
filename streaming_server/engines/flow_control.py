"""An engine that does not run further ahead of its listeners than a window."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from streaming_server.engines.base import Engine
from streaming_server.types import (
    Audio,
    EngineInfo,
    Event,
    Finished,
    MemoryReport,
    Utterance,
    Voice,
    WordMark,
    Words,
)


class Restrained(Engine):
    """An `Engine` around another that says the same utterance the same way every time, and fast.

    An utterance of which `window` bytes of PCM or more have not been taken is dropped by the engine within
    and, once half of them have been, said again without what was given out before. So a listener that stalls
    holds little memory anywhere, for some of the engine's time; `Finished` counts that too.
    """

    def __init__(self, engine: Engine, window: int) -> None:
        self._engine = engine
        self._window = window
        self._flows: dict[int, _Flow] = {}

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def device_name(self) -> str:
        return self._engine.device_name

    @property
    def active(self) -> int:
        """Utterances that a step would bring on; those held back are not among them."""
        return self._engine.active

    def submit(self, utterance: Utterance) -> None:
        self._flows[utterance.id] = _Flow(utterance)
        self._engine.submit(utterance)

    def cancel(self, utterance_id: int) -> None:
        if self._flows.pop(utterance_id, None) is not None:
            self._engine.cancel(utterance_id)

    def taken(self, utterance_id: int, size: int) -> None:
        """The listener's side has taken so many bytes of an utterance, counted from its start."""
        if (flow := self._flows.get(utterance_id)) is None:
            return
        flow.taken = size
        if flow.held and flow.ahead <= self._window // 2:
            self._engine.submit(flow.again(self.info.sample_rate))

    def step(self) -> list[Event]:
        began = time.perf_counter()
        stepped = self._engine.step()
        stepped_s = time.perf_counter() - began
        events = [event for one in stepped if (event := self._pass_on(one)) is not None]
        flows = [flow for one in {event.utterance for event in stepped} if (flow := self._flows.get(one))]
        for flow in flows:
            flow.saying_s += stepped_s / len(flows)
            self._hold(flow)
        return events

    def _pass_on(self, event: Event) -> Event | None:
        if (flow := self._flows.get(event.utterance)) is None:
            return None
        if isinstance(event, Audio | Words):
            return flow.give_out(event)
        del self._flows[event.utterance]
        return replace(event, busy_s=event.busy_s + flow.spent_s) if isinstance(event, Finished) else event

    def _hold(self, flow: _Flow) -> None:
        if flow.ahead >= self._window:
            flow.held = True
            self._engine.cancel(flow.utterance.id)

    def prepare(self, voice: Voice) -> None:
        self._engine.prepare(voice)

    def release(self, context: int) -> None:
        self._engine.release(context)

    def memory(self) -> MemoryReport:
        return self._engine.memory()

    def relieve(self) -> None:
        self._engine.relieve()

    def close(self) -> None:
        self._flows.clear()
        self._engine.close()


@dataclass(slots=True)
class _Flow:
    """How far an utterance is.

    given, taken: bytes of its PCM; said: bytes the present saying has brought. saying_s: seconds of the
    engine's in the present saying; spent_s: in those before.
    """

    utterance: Utterance
    held: bool = False
    given: int = 0
    taken: int = 0
    said: int = 0
    marked: int = 0
    said_marks: int = 0
    saying_s: float = 0.0
    spent_s: float = 0.0

    @property
    def ahead(self) -> int:
        return self.given - self.taken

    def again(self, sample_rate: int) -> Utterance:
        """The utterance as it is to be said again; its listener runs dry where what was given out ends."""
        self.held = False
        self.said = self.said_marks = 0
        self.spent_s, self.saying_s = self.spent_s + self.saying_s, 0.0
        return replace(self.utterance, deadline=self.utterance.deadline + self.given / (2 * sample_rate))

    def give_out(self, event: Audio | Words) -> Event | None:
        """What of an event has not been given out before."""
        if isinstance(event, Audio):
            known = max(0, self.given - self.said)
            self.said += len(event.pcm)
            self.given = max(self.given, self.said)
            fresh = event.pcm[known:]
            return replace(event, pcm=fresh) if fresh else None
        marks: tuple[WordMark, ...] = event.marks[max(0, self.marked - self.said_marks) :]
        self.said_marks += len(event.marks)
        self.marked = max(self.marked, self.said_marks)
        return replace(event, marks=marks) if marks else None
