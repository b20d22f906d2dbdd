"""Turns the library's word positions into word marks."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from dataclasses import dataclass, field

from streaming_server.engines.word_marks import share_time
from streaming_server.text.written_word import WRITTEN_WORD, trim
from streaming_server.types import WordMark

_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


@dataclass(slots=True)
class WordTimeline:
    """Collects one mark for each written word of a text.

    The library counts characters from 1. It may report a written word several times (a number), without a
    length, or slightly behind. Scripts without spaces are marked as the library divides them, every character
    with one of its marks. Words that it runs together ("in the") are reported as one; they share its time in
    proportion to their lengths, as an estimate.

    units: as in `Utterance`; each is one written word. estimated: whether the library's positions are
    approximate.
    """

    text: str
    units: tuple[tuple[int, int], ...] = ()
    estimated: bool = False
    _spans: list[tuple[int, int]] = field(init=False)
    _starts: list[int] = field(init=False)
    _open: tuple[int, int] | None = field(init=False, default=None)
    _open_since: int = field(init=False, default=0)
    _clause_end: int | None = field(init=False, default=None)
    _marked_text: int = field(init=False, default=0)
    _marked_sample: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._spans = _joined([match.span() for match in WRITTEN_WORD.finditer(self.text)], self.units)
        self._starts = [start for start, _ in self._spans]

    @property
    def in_unit(self) -> bool:
        """True while the current word is one of several that are spoken for one of the client's."""
        return self._open is not None and any(start <= self._open[0] < end for start, end in self.units)

    @property
    def open_since(self) -> int | None:
        """The sample at which the current word started, if one has started and not ended."""
        return None if self._open is None else self._open_since

    def word(self, position: int, length: int, sample: int) -> tuple[WordMark, ...]:
        """Start a word at this sample. Return the marks of the words that end here."""
        span = self._written(position - 1, length)
        if span is None or span[0] < self._marked_text:
            if span == self._open and self.in_unit:
                self._clause_end = None  # The clause ended within the unit.
            return ()
        closed = self.close(sample, before=span[0])
        self._open, self._open_since = span, max(sample, self._marked_sample)
        self._marked_text = span[1]
        return closed

    def clause_end(self, sample: int) -> None:
        """End the clause at this sample: its last word does not reach into the pause that follows."""
        self._clause_end = sample

    def close(self, sample: int, before: int = 0, estimated: bool = False) -> tuple[WordMark, ...]:
        """End the current word at this sample, or at its clause's end if that is earlier. Return its marks.

        Words that the library never reported, between the current one and `before` in the text, share its
        time.
        """
        if self._open is None:
            return ()
        end = sample if self._clause_end is None else min(sample, self._clause_end)
        end = max(end, self._open_since)
        word = self._whole(*self._open, before)
        spans = [word, *self._unreported(word[1], before)]
        estimated = self.estimated or estimated or len(spans) > 1
        marks = share_time(spans, self._open_since, end, estimated=estimated)
        self._marked_text = spans[-1][1]
        self._open, self._clause_end, self._marked_sample = None, None, end
        return marks

    def _whole(self, start: int, end: int, before: int) -> tuple[int, int]:
        """Extend a word of a script without spaces over characters that were not reported, up to `before`.

        The library reports the first character of those that it runs together.
        """
        written_end = self._spans[bisect_right(self._starts, start) - 1][1]
        until = min(before, written_end)
        if until <= end or not _UNSPACED.search(self.text, start, until):
            return start, end
        return start, max(end, trim(self.text, start, until)[1])

    def _unreported(self, start: int, before: int) -> list[tuple[int, int]]:
        """Return the whole written words in a range of the text that are audible."""
        first = bisect_right(self._starts, start - 1)
        between = [span for span in self._spans[first:] if span[1] <= before]
        trimmed = [trim(self.text, *span) for span in between]
        return [span for span in trimmed if any(letter.isalnum() for letter in self.text[span[0] : span[1]])]

    def _written(self, index: int, length: int) -> tuple[int, int] | None:
        """Return the span of the written word at an index of the text, or of the next one."""
        place = bisect_right(self._starts, index) - 1
        if place < 0 or index >= self._spans[place][1]:
            place += 1
        if place >= len(self._spans):
            return None
        start, end = self._spans[place]
        if _UNSPACED.search(self.text, start, end):
            first = max(start, index)
            return first, min(end, first + max(1, length))
        return trim(self.text, start, end)


def _joined(words: list[tuple[int, int]], units: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Return the words in order, those of a unit as one."""
    if not units:
        return words
    joined: list[tuple[int, int]] = []
    following = iter([*units, (sys.maxsize, sys.maxsize)])
    begin, end = next(following)
    for word in words:
        while word[0] >= end:
            begin, end = next(following)
        if word[0] < begin or not joined or joined[-1][0] < begin:
            joined.append(word)
        else:
            joined[-1] = (joined[-1][0], word[1])
    return joined
