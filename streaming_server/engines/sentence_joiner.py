"""Speaks a sentence in parts that are heard as one."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from streaming_server.engines.base import Engine
from streaming_server.engines.part_joiner import PartJoiner, PartPlace
from streaming_server.engines.wrapper import EngineWrapper
from streaming_server.errors import UnsupportedLanguage
from streaming_server.text.speakable import first_sound
from streaming_server.types import (
    Audio,
    Event,
    Failed,
    Finished,
    LanguageSpan,
    Pronounced,
    ProsodySpan,
    Utterance,
    Words,
)

CLAUSE_PAUSE_S = 0.15
"""Silence after a part that ends with a comma or the like."""

_ENDS_CLAUSE = re.compile(r"[,;:.!?…—–)،、，；：。！？][\"'”’»]?\s*\Z")
_CLOSING = re.compile(r"[^\w\s]+(?=\s|\Z)")

P = TypeVar("P", Pronounced, ProsodySpan)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an utterance, as an utterance of its own in one language."""

    utterance: Utterance
    place: PartPlace


@dataclass(slots=True)
class _Sentence:
    """An utterance in parts.

    parts: those still to come. busy_s: seconds spent on the others. failure: of a part in a language that the
    engine cannot speak.
    """

    joiner: PartJoiner
    parts: deque[_Part]
    busy_s: float = 0.0
    failure: Failed | None = None


class SentenceJoiner(EngineWrapper):
    """Lets another engine speak each part of an utterance in the part's language, one after the other.

    What is heard is one sentence: the silence where parts meet is dropped, and so is the silence behind an
    utterance whose sentence continues. A part that cannot be spoken is skipped, if another one can be.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._sentences: dict[int, _Sentence] = {}

    def submit(self, utterance: Utterance) -> None:
        if not utterance.foreign and not utterance.continues:
            self._engine.submit(utterance)
            return
        parts = deque(_parts(utterance))
        first = parts.popleft()
        self._sentences[utterance.id] = _Sentence(self._joiner(first, 0), parts)
        self._engine.submit(first.utterance)

    def cancel(self, utterance_id: int) -> None:
        self._sentences.pop(utterance_id, None)
        self._engine.cancel(utterance_id)

    def step(self) -> list[Event]:
        return [joined for event in self._engine.step() for joined in self._join(event)]

    def close(self) -> None:
        self._sentences.clear()
        super().close()

    def _join(self, event: Event) -> Iterator[Event]:
        """Turn an event of a part into events of the utterance; begin the next part when one ends."""
        if (sentence := self._sentences.get(event.utterance)) is None:
            yield event
            return
        match event:
            case Words(_, marks):
                sentence.joiner.words(marks)
            case Audio(_, pcm):
                yield from sentence.joiner.audio(pcm)
            case Finished(_, busy_s):
                sentence.busy_s += busy_s
                yield from sentence.joiner.finish()
                yield from self._go_on(sentence, event.utterance)
            case Failed(_, UnsupportedLanguage.code):
                sentence.failure = event
                yield from self._go_on(sentence, event.utterance)
            case Failed():
                del self._sentences[event.utterance]
                yield event

    def _go_on(self, sentence: _Sentence, utterance_id: int) -> Iterator[Event]:
        """Begin the next part; yield the end after the last one."""
        if not sentence.parts:
            del self._sentences[utterance_id]
            spoken = sentence.joiner.samples > 0
            yield (None if spoken else sentence.failure) or Finished(utterance_id, sentence.busy_s)
            return
        part, samples = sentence.parts.popleft(), sentence.joiner.samples
        sentence.joiner = self._joiner(part, samples)
        deadline = part.utterance.deadline + samples / self.info.sample_rate
        self._engine.submit(replace(part.utterance, deadline=deadline))

    def _joiner(self, part: _Part, samples: int) -> PartJoiner:
        return PartJoiner(part.utterance.id, part.place, samples, self.info.sample_rate)


def _parts(utterance: Utterance) -> Iterator[_Part]:
    """Yield the parts of an utterance, in order. Each has something to speak."""
    spans = _spans(utterance.text, utterance.foreign)
    for number, span in enumerate(spans):
        text = utterance.text[span.start : span.end]
        language = span.language or utterance.generation.language
        last = number == len(spans) - 1
        pause_s = CLAUSE_PAUSE_S if not last and _ENDS_CLAUSE.search(text) else 0.0
        yield _Part(
            replace(
                utterance,
                text=text,
                generation=replace(utterance.generation, language=language),
                pronounced=_within(utterance.pronounced, span.start, span.end),
                units=tuple(
                    (start - span.start, end - span.start)
                    for start, end in utterance.units
                    if span.start <= start and end <= span.end
                ),
                prosody=_within(utterance.prosody, span.start, span.end),
                foreign=(),
                continues=False,
            ),
            PartPlace(span.start, number == 0, last and not utterance.continues, pause_s),
        )


def _spans(text: str, foreign: Sequence[LanguageSpan]) -> list[LanguageSpan]:
    """Return the parts of a text; those in the utterance's own language have an empty one.

    Punctuation goes with the word before it, and what has no sound with the part behind it.
    """
    ends: list[tuple[int, str]] = []
    for one in foreign:
        closing = _CLOSING.match(text, one.end)
        ends += [(one.start, ""), (closing.end() if closing else one.end, one.language)]
    spans: list[LanguageSpan] = []
    begin = 0
    for end, language in [*ends, (len(text), "")]:
        if first_sound(text, begin, end) < end:
            spans.append(LanguageSpan(begin, end, language))
            begin = end
    return [*spans[:-1], replace(spans[-1], end=len(text))] if spans else [LanguageSpan(0, len(text), "")]


def _within(parts: tuple[P, ...], start: int, end: int) -> tuple[P, ...]:
    """Return the parts of a text that lie from `start` to `end`, counted from there."""
    return tuple(
        replace(part, start=max(part.start, start) - start, end=min(part.end, end) - start)
        for part in parts
        if part.start < end and part.end > start
    )
