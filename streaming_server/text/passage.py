"""The text of one utterance, with its place in the client's text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from streaming_server.text.offsets import SourceMap
from streaming_server.text.prosody import Prosody
from streaming_server.text.tag_pairs import complete_pairs
from streaming_server.text.written_word import WRITTEN_WORD
from streaming_server.types import LanguageSpan, Pronounced, ProsodySpan, WordMark


@dataclass(frozen=True, slots=True)
class Quotation:
    """A sentence as the client wrote it. start, end: code points into the client's text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Passage:
    """The text of one utterance.

    text: what to speak. sentences: at least one. language: a BCP 47 tag. speaker: "S1" or "S2"; None where
    the text names none. source: maps `text` to the client's text. prosody: on top of the voice's own.
    spans: parts with a prosody of their own, on top of `prosody`. foreign: parts in other languages.
    continues: the sentence goes on in the next passage, after a pause or with another speaker.
    """

    text: str
    sentences: tuple[Quotation, ...]
    language: str
    speaker: str | None
    pronounced: tuple[Pronounced, ...]
    source: SourceMap
    prosody: Prosody
    spans: tuple[ProsodySpan, ...] = ()
    foreign: tuple[LanguageSpan, ...] = ()
    continues: bool = False

    @property
    def start(self) -> int:
        """Its first code point in the client's text."""
        return self.sentences[0].start

    @property
    def end(self) -> int:
        return self.sentences[-1].end

    def units(self) -> tuple[tuple[int, int], ...]:
        """Return the spans of `text` in which several words are spoken for one of the client's."""
        found: list[tuple[int, int]] = []
        begin = words = until = 0
        for match in WRITTEN_WORD.finditer(self.text):
            start, end = self.source.span(*match.span())
            if words and start < until:
                words += 1
                if words == 2:
                    found.append((begin, match.end()))
                else:
                    found[-1] = (begin, match.end())
            else:
                begin, words = match.start(), 1
            until = end
        return tuple(found)

    def written(self, marks: Iterable[WordMark]) -> list[WordMark]:
        """Turn marks of words in `text` into marks of what the client wrote for them.

        Words that stand for one thing, such as those of "$3.50", become one mark. A tag within a word belongs
        to it, and so does that tag's counterpart around the word.
        """
        written: list[WordMark] = []
        for mark in marks:
            if mark.end <= mark.start:
                continue
            start, end = self.source.span(mark.start, mark.end)
            if written and (start < written[-1].end or (start, end) == (written[-1].start, written[-1].end)):
                written[-1] = _joined(written[-1], end, mark)
            else:
                written.append(WordMark(start, end, mark.start_sample, mark.end_sample, mark.estimated))
        return [self._with_tags(word) for word in written]

    def _with_tags(self, word: WordMark) -> WordMark:
        """Extend the mark of a word with a tag in it by the tag's counterpart."""
        for sentence in self.sentences:
            if sentence.start <= word.start and word.end <= sentence.end:
                start, end = word.start - sentence.start, word.end - sentence.start
                if "<" in sentence.text[start:end]:
                    start, end = complete_pairs(sentence.text, start, end, 0)
                    return replace(word, start=sentence.start + start, end=sentence.start + end)
        return word


def _joined(word: WordMark, end: int, mark: WordMark) -> WordMark:
    """Return the mark of a word that another mark continues. end: of what the client wrote for that."""
    return WordMark(
        word.start,
        max(word.end, end),
        word.start_sample,
        max(word.end_sample, mark.end_sample),
        word.estimated or mark.estimated,
    )
