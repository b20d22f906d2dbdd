"""Two engines in one: the language of an utterance decides which of them speaks it."""

from __future__ import annotations

from dataclasses import replace

from streaming_server.engines.auto.resampling import EventResampler
from streaming_server.engines.base import Engine
from streaming_server.engines.hibari.engine import HibariEngine
from streaming_server.types import EngineInfo, Event, Failed, Finished, MemoryReport, Utterance, Voice


class AutoEngine(Engine):
    """Speaks English with hibari and every other language with eSpeak NG, resampled to hibari's rate.

    Steps alternate while both have work.
    """

    def __init__(self, hibari: HibariEngine, espeak: Engine) -> None:
        self._hibari = hibari
        self._espeak = espeak
        self._resamplers: dict[int, EventResampler] = {}
        self._turn = False
        self._info = _joint_info(hibari.info, espeak.info)

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def active(self) -> int:
        return self._hibari.active + self._espeak.active

    def prepare(self, voice: Voice) -> None:
        self._hibari.prepare(voice)
        self._espeak.prepare(voice)

    def submit(self, utterance: Utterance) -> None:
        language = utterance.generation.language
        if language is None or self._hibari.info.speaks(language.replace("_", "-")):
            self._hibari.submit(utterance)
            return
        rates = self._espeak.info.sample_rate, self._hibari.info.sample_rate
        self._resamplers[utterance.id] = EventResampler(*rates)
        self._espeak.submit(utterance)

    def cancel(self, utterance_id: int) -> None:
        if self._resamplers.pop(utterance_id, None) is not None:
            self._espeak.cancel(utterance_id)
        else:
            self._hibari.cancel(utterance_id)

    def release(self, context: int) -> None:
        self._hibari.release(context)
        self._espeak.release(context)

    def step(self) -> list[Event]:
        self._turn = not self._turn
        wanted = self._turn and not self._hibari.waiting
        if self._hibari.active and (wanted or not self._espeak.active):
            return self._hibari.step()
        return [converted for event in self._espeak.step() for converted in self._convert(event)]

    def memory(self) -> MemoryReport:
        return self._hibari.memory()

    def relieve(self) -> None:
        self._hibari.relieve()
        self._espeak.relieve()

    def close(self) -> None:
        self._resamplers.clear()
        self._hibari.close()
        self._espeak.close()

    def _convert(self, event: Event) -> list[Event]:
        converted = self._resamplers[event.utterance].convert(event)
        if isinstance(event, Finished | Failed):
            del self._resamplers[event.utterance]
        return converted


def _joint_info(hibari: EngineInfo, espeak: EngineInfo) -> EngineInfo:
    return replace(
        hibari,
        name="auto",
        languages=tuple(dict.fromkeys((*hibari.languages, *espeak.languages))),
        uses=hibari.uses | espeak.uses,
        ipa=hibari.ipa and espeak.ipa,
        prosody=hibari.prosody and espeak.prosody,
    )
