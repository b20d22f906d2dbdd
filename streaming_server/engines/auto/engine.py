"""Two engines in one: the language of an utterance decides which of them speaks it."""

from __future__ import annotations

from dataclasses import replace

from streaming_server.engines.auto.resampling import EventResampler
from streaming_server.engines.base import Engine
from streaming_server.engines.hibari.engine import HibariEngine
from streaming_server.types import EngineInfo, Event, Failed, Finished, MemoryReport, Utterance, Voice


class AutoEngine(Engine):
    """An `Engine` that gives an utterance to `first` if that speaks its language, else to `second`.

    What `second` says is resampled to the rate of `first`. Steps alternate while both have work; one that
    only waits does not hold up the other.
    """

    def __init__(self, first: HibariEngine, second: Engine) -> None:
        self._first = first
        self._second = second
        self._resamplers: dict[int, EventResampler] = {}
        self._turn = False

    @property
    def info(self) -> EngineInfo:
        first, second = self._first.info, self._second.info
        languages = dict.fromkeys((*first.languages, *second.languages))
        return replace(
            first,
            name="auto",
            languages=tuple(languages),
            uses=first.uses | second.uses,
            ipa=first.ipa and second.ipa,
            prosody=first.prosody and second.prosody,
        )

    @property
    def active(self) -> int:
        return self._first.active + self._second.active

    def prepare(self, voice: Voice) -> None:
        self._first.prepare(voice)
        self._second.prepare(voice)

    def submit(self, utterance: Utterance) -> None:
        language = utterance.generation.language
        if language is None or self._first.info.speaks(language.replace("_", "-")):
            self._first.submit(utterance)
            return
        rates = self._second.info.sample_rate, self._first.info.sample_rate
        self._resamplers[utterance.id] = EventResampler(*rates)
        self._second.submit(utterance)

    def cancel(self, utterance_id: int) -> None:
        if self._resamplers.pop(utterance_id, None) is not None:
            self._second.cancel(utterance_id)
        else:
            self._first.cancel(utterance_id)

    def taken(self, utterance_id: int, size: int) -> None:
        """Neither holds an utterance back; `FlowControlled` does that."""

    def release(self, context: int) -> None:
        self._first.release(context)
        self._second.release(context)

    def step(self) -> list[Event]:
        self._turn = not self._turn
        wanted = self._turn and not self._first.waiting
        if self._first.active and (wanted or not self._second.active):
            return self._first.step()
        return [converted for event in self._second.step() for converted in self._convert(event)]

    def memory(self) -> MemoryReport:
        return self._first.memory()

    def relieve(self) -> None:
        self._first.relieve()
        self._second.relieve()

    def close(self) -> None:
        self._resamplers.clear()
        self._first.close()
        self._second.close()

    def _convert(self, event: Event) -> list[Event]:
        converted = self._resamplers[event.utterance].convert(event)
        if isinstance(event, Finished | Failed):
            del self._resamplers[event.utterance]
        return converted
