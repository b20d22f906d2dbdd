"""The text of one utterance, with its place in the client's text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from streaming_server.text.offsets import SourceMap
from streaming_server.text.prosody import Prosody
from streaming_server.types import Pronounced, WordMark


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
    """

    text: str
    sentences: tuple[Quotation, ...]
    language: str
    speaker: str | None
    pronounced: tuple[Pronounced, ...]
    source: SourceMap
    prosody: Prosody

    @property
    def start(self) -> int:
        """Its first code point in the client's text."""
        return self.sentences[0].start

    @property
    def end(self) -> int:
        return self.sentences[-1].end

    def written(self, marks: Iterable[WordMark]) -> list[WordMark]:
        """Turn marks of words in `text` into marks of what the client wrote for them.

        Words that stand for one thing, such as those of "$3.50", become one mark.
        """
        spans = [(self.source.span(mark.start, mark.end), mark) for mark in marks if mark.end > mark.start]
        return [
            _merged(span, [mark for _, mark in group]) for span, group in groupby(spans, lambda pair: pair[0])
        ]


def _merged(span: tuple[int, int], marks: list[WordMark]) -> WordMark:
    estimated = any(mark.estimated for mark in marks)
    return WordMark(*span, marks[0].start_sample, marks[-1].end_sample, estimated)
