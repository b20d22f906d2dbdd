"""Estimated word times, from the lengths of the words."""

from __future__ import annotations

from streaming_server.engines.dia.text.script import spoken_words
from streaming_server.types import WordMark


class WordTimer:
    """Spread the words of one segment evenly over its audio as the audio arrives.

    Until the length of the audio is known, the pace is assumed; then the remaining words share the
    remaining audio. Marks ascend, and no mark begins after the audio it is returned for.
    """

    def __init__(self, text: str, start: int, end: int, origin: int, pace: float) -> None:
        """Time text[start:end] from sample `origin` on; pace is in samples per character."""
        self._words = spoken_words(text, start, end)
        self._next = 0
        self._read = start
        self._end = end
        self._now = float(origin)
        self._pace = pace

    def marks(self, until: int, known: int, final: bool) -> tuple[WordMark, ...]:
        """Return marks of the words that begin before sample `until`.

        known: samples there will be at least, or exactly if `final`.
        """
        if final and self._read < self._end:
            self._pace = max(0.0, known - self._now) / (self._end - self._read)
        marks: list[WordMark] = []
        while self._next < len(self._words):
            begin, finish = self._words[self._next]
            at = self._now + (begin - self._read) * self._pace
            if at >= until and not (final and until >= known):
                break
            start = min(int(at), max(0, known - 1))
            stop = min(int(at + (finish - begin) * self._pace), known)
            marks.append(WordMark(begin, finish, start, max(start, stop), estimated=True))
            self._now, self._read = at + (finish - begin) * self._pace, finish
            self._next += 1
        return tuple(marks)
