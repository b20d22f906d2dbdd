"""A context's text on its way to the engine: written text in, passages and pauses out.

deltas → SpokenText → Segmenter → Passage | Pause | Flushed
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import groupby

from streaming_server.errors import InternalError
from streaming_server.text.boundary import ends_sentence, is_whole, joined
from streaming_server.text.items import Item, Pause, Said, SpeakerChange
from streaming_server.text.language import LanguageDetector, foreign_spans
from streaming_server.text.offsets import SourceMap
from streaming_server.text.passage import Passage, Quotation
from streaming_server.text.prosody import OpenProsody, Prosody, ProsodyChange, ProsodyTimeline
from streaming_server.text.segmenter import Segmenter
from streaming_server.text.sentence import Sentence
from streaming_server.text.spoken import SpokenText
from streaming_server.text.style import SpeakingStyle
from streaming_server.text.tag_pairs import complete_pairs
from streaming_server.types import ChunkPolicy, Pronounced

_OPENING = frozenset("*_~`[!")
_CLOSING = frozenset("*_~`")


@dataclass(frozen=True, slots=True)
class FlushPoint:
    """All text before one flush has been taken."""


@dataclass(frozen=True, slots=True)
class _DueItem:
    """Something to hand out once the spoken text before `at` has been taken."""

    at: int
    what: Pause | SpeakerChange | FlushPoint


class Narration:
    """Turns text that is still arriving into what an engine speaks, in order.

    policy: lengths of the spoken text, in code points. detect_language: tell the language of each sentence by
    its script, rather than taking the voice's own for all. mix_languages: find the words in another script
    than the sentence's language has. inline_prosody: the engine changes prosody within an utterance;
    otherwise a change starts a new passage.
    """

    def __init__(
        self,
        policy: ChunkPolicy,
        style: SpeakingStyle,
        *,
        detect_language: bool = False,
        mix_languages: bool = False,
        inline_prosody: bool = False,
    ) -> None:
        self._style = style
        self._languages = LanguageDetector(style.language) if detect_language else None
        self._mix_languages = mix_languages
        self._inline_prosody = inline_prosody
        self._spoken = SpokenText(style)
        self._segmenter = Segmenter(policy, style.language)
        self._source = SourceMap()
        self._due: deque[_DueItem] = deque()
        self._passages: deque[Passage] = deque()
        self._speaker: str | None = None
        self._open = OpenProsody()
        self._last = ""
        self._prosody = ProsodyTimeline()
        self._quoted = 0
        self._finished = False

    @property
    def received(self) -> int:
        """Code points of the client's text so far; half of a surrogate pair is not counted."""
        return self._spoken.received

    @property
    def untaken(self) -> int:
        """Code points of spoken text that `take` has not reached yet."""
        return self._segmenter.received - self._segmenter.taken

    @property
    def text(self) -> str:
        """The client's text so far."""
        return self._spoken.written

    @property
    def waiting(self) -> bool:
        """True if the last `take` returned None because the complete text is shorter than `min_chars`."""
        return self._segmenter.waiting

    def append(self, delta: str) -> None:
        """Add text, cut anywhere.

        Raise BadValue for a surrogate without its other half and for NUL; the delta is not taken then.
        """
        if self._finished:
            raise InternalError("Text was appended after its end.")
        self._add(self._spoken.push(delta))

    def flush(self, *, announce: bool = True) -> None:
        """Complete all text so far; a FlushPoint follows it, unless `announce` is False.

        A flush that is not announced leaves a code block open. Raise BadValue if the text ends with half of a
        surrogate pair.
        """
        self._complete(close_blocks=announce)
        if announce:
            self._due.append(_DueItem(self._segmenter.received, FlushPoint()))

    def finish(self) -> None:
        """End the text. Idempotent. Raise BadValue as `flush` does."""
        if not self._finished:
            self._complete()
            self._finished = True

    def take(self, *, first: bool, impatient: bool = False) -> Passage | Pause | FlushPoint | None:
        """Return what comes next, or None if nothing is ready.

        first, impatient: as for `Segmenter.take`.
        """
        while not self._passages:
            if self._due and self._due[0].at <= self._segmenter.taken:
                item = self._due.popleft().what
                if isinstance(item, SpeakerChange):
                    self._speaker = item.speaker
                else:
                    return item
                continue
            sentences = self._segmenter.take(first=first, impatient=impatient)
            if sentences is None:
                return None
            *whole, last = self._by_language(sentences)
            self._passages += (*whole, replace(last, continues=self._is_cut_short(sentences[-1])))
        return self._passages.popleft()

    def _add(self, items: list[Item]) -> None:
        for item in items:
            if isinstance(item, Said):
                self._say(item)
            elif isinstance(item, ProsodyChange):
                self._open.change(item)
            else:
                self._separate(item)

    def _say(self, said: Said) -> None:
        """Append text. A change of prosody takes effect in front of the next word."""
        if self._open.current != self._prosody.latest and said.text:
            length = joined(self._last, said.text)
            self._append(said.part(0, length))
            said = said.part(length, len(said.text))
            if said.text:
                self._change_prosody(self._open.current, said.text)
        self._append(said)

    def _change_prosody(self, prosody: Prosody, following: str) -> None:
        """Change the prosody in front of some text.

        A sentence that ends at the tag ends even if no white space follows.
        """
        if not self._inline_prosody or (ends_sentence(self._last) and not following[0].isspace()):
            self._segmenter.flush()
            self._last = ""
        self._prosody.change(self._segmenter.received, prosody)

    def _append(self, said: Said) -> None:
        self._source.append(said)
        self._segmenter.append(said.text)
        self._last = said.text[-1:] or self._last

    def _separate(self, event: Pause | SpeakerChange) -> None:
        """End the sentence, and have something happen in front of the next one."""
        self._segmenter.flush()
        self._last = ""
        self._due.append(_DueItem(self._segmenter.received, event))

    def _complete(self, *, close_blocks: bool = True) -> None:
        self._add(self._spoken.flush(close_blocks=close_blocks))
        self._segmenter.flush()
        self._last = ""

    def _by_language(self, sentences: tuple[Sentence, ...]) -> list[Passage]:
        """Make one passage of neighbouring sentences of one language."""
        languages = self._languages
        if languages is None:
            return [self._passage(sentences, self._style.language)]
        groups = groupby(sentences, lambda sentence: languages.language_of(sentence.text))
        return [self._passage(tuple(group), language) for language, group in groups]

    def _is_cut_short(self, sentence: Sentence) -> bool:
        """Return whether a pause or a speaker change interrupts the sentence."""
        event = self._due[0] if self._due else None
        if event is None or event.at != sentence.end or isinstance(event.what, FlushPoint):
            return False
        return not is_whole(sentence.text)

    def _passage(self, sentences: tuple[Sentence, ...], language: str) -> Passage:
        begin, end = sentences[0].spoken_start, sentences[-1].spoken_end
        source, pronounced = SourceMap(), []
        for part in self._source.slice(begin, end):
            if part.ipa is not None:
                pronounced.append(Pronounced(source.end, source.end + len(part.text), part.ipa))
            source.append(part)
        quotations = tuple(map(self._quotation, sentences))
        self._source.forget(end)
        text = "".join(sentence.text for sentence in sentences).strip()
        prosody, spans = self._prosody.take(begin, end)
        foreign = foreign_spans(text, language) if self._mix_languages else ()
        return Passage(
            text, quotations, language, self._speaker, tuple(pronounced), source, prosody, spans, foreign
        )

    def _quotation(self, sentence: Sentence) -> Quotation:
        """Quote a sentence from the client's text, with the Markdown marks around it.

        A tag whose counterpart lies in the sentence is part of it.
        """
        text = self.text
        start, end = self._source.span(sentence.spoken_start, sentence.spoken_end)
        start = max(start, self._quoted)
        while start > self._quoted and text[start - 1] in _OPENING:
            start -= 1
        end = max(end, start)
        while end < len(text) and text[end] in _CLOSING:
            end += 1
        start, end = complete_pairs(text, start, end, self._quoted)
        self._quoted = end
        return Quotation(text[start:end], start, end)
