"""Positions of words in a text, and their alignment with a normalized text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from streaming_server.text.speakable import first_sound
from streaming_server.text.written_word import WRITTEN_WORD, trim

Span = tuple[int, int]
"""Start and end, in code points."""

_CHUNK = re.compile(r"\S+")


def written_words(text: str) -> list[Span]:
    """Return the words of a text without surrounding punctuation.

    A string that is not spoken is not a word; "$3.50" is one.
    """
    spans = [trim(text, *match.span()) for match in WRITTEN_WORD.finditer(text)]
    return [span for span in spans if first_sound(text, *span) < span[1]]


@dataclass(frozen=True, slots=True)
class _Run:
    """A stretch of the normalized text and the stretch of the written one that it stands for.

    same: whether they are the same, character for character.
    """

    normalized: Span
    written: Span
    same: bool


class WordAlignment:
    """Maps places in a normalized text to words of the text it was made from.

    Normalizing rewrites a few words and leaves the others alone, so runs of equal words, divided at white
    space, are matched first. Words that were rewritten beside each other are told apart where they are
    rewritten alike when they stand alone; else they are taken together.
    """

    def __init__(self, written: str, normalize: Callable[[str], str]) -> None:
        self.normalized = normalize(written)
        self.words = written_words(written)
        self._ends = [end for _, end in self.words]
        self._starts = [start for start, _ in self.words]
        self._runs = _runs(written, self.normalized, normalize)
        self._run_starts = [run.normalized[0] for run in self._runs]

    def words_at(self, start: int, end: int) -> tuple[int, int]:
        """Return the first and last + 1 of the words spoken from `start` to `end` of the normalized text."""
        run = self._runs[max(0, bisect_right(self._run_starts, start) - 1)]
        if run.same:
            shift = run.written[0] - run.normalized[0]
            first, last = start + shift, end + shift
        else:
            first, last = run.written
        return bisect_right(self._ends, first), bisect_right(self._starts, last - 1)


def _runs(written: str, normalized: str, normalize: Callable[[str], str]) -> list[_Run]:
    before = [match.span() for match in _CHUNK.finditer(written)]
    after = [match.span() for match in _CHUNK.finditer(normalized)]
    old = [written[start:end] for start, end in before]
    new = [normalized[start:end] for start, end in after]
    runs: list[_Run] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs = zip(after[j1:j2], before[i1:i2], strict=True)
            runs += [_Run(spoken, source, True) for spoken, source in pairs]
            continue
        for i, k, j, m in _told_apart(old, new, (i1, i2, j1, j2), normalize):
            if j < m:
                runs.append(_Run((after[j][0], after[m - 1][1]), _between(before, i, k), False))
    return runs


def _told_apart(
    old: list[str], new: list[str], ranges: tuple[int, int, int, int], normalize: Callable[[str], str]
) -> Iterator[tuple[int, int, int, int]]:
    """Divide chunks that were rewritten beside each other, as far as one or two alone explain what is there.

    Of the rest, as many as before are taken to be in the same order.
    """
    i, i2, j, j2 = ranges
    while i + 1 < i2:
        for k in (i + 1, i + 2):
            alone = normalize(" ".join(old[i:k])).split()
            m = j + len(alone)
            if k < i2 and j < m < j2 and new[j:m] == alone:
                yield i, k, j, m
                i, j = k, m
                break
        else:
            break
    if i2 - i == j2 - j:
        yield from ((i + n, i + n + 1, j + n, j + n + 1) for n in range(i2 - i))
    else:
        yield i, i2, j, j2


def _between(chunks: list[Span], first: int, last: int) -> Span:
    """Return the span from the first to the last of some chunks; without any, the adjacent chunk."""
    if first == last:
        first = max(0, first - 1)
        last = first + 1
    return chunks[first][0], chunks[last - 1][1]
