"""Cuts the library's audio where words end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streaming_server.engines.espeak.library import LibraryEvent
from streaming_server.engines.espeak.timeline import WordTimeline
from streaming_server.types import WordMark

MAX_WORD_S = 2.0
"""Seconds of a word that has not ended after which its audio is sent anyway."""
LONGEST_UNIT_S = 10.0
"""The same for several words that are one of the client's, such as those of a large number."""

SECOND_PIECE_S = 1.5
MAX_PIECE_S = 3.0
"""The first piece is one word. The second lasts at least this long, and each later one twice as long as the
one before, up to the maximum: every piece costs a switch of threads and a wake-up of the server."""


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """PCM and the marks of the words in it. Either may be empty."""

    marks: tuple[WordMark, ...]
    pcm: bytes


class PieceCutter:
    """Groups the library's chunks into pieces that end where a word does.

    sample_rate: Hz.
    """

    def __init__(self, timeline: WordTimeline, sample_rate: int) -> None:
        self._timeline = timeline
        self._max_word = round(MAX_WORD_S * sample_rate)
        self._longest_unit = round(LONGEST_UNIT_S * sample_rate)
        self._min_piece = round(SECOND_PIECE_S * sample_rate)
        self._max_piece = round(MAX_PIECE_S * sample_rate)
        self._pending = bytearray()
        self._emitted = 0
        self._marks: list[WordMark] = []
        self._has_words = False

    def take(self, pcm: bytes, events: Iterable[LibraryEvent]) -> SpokenPiece | None:
        """Add a chunk and its events. Return the next piece, if it is complete."""
        self._pending += pcm
        total = self._emitted + len(self._pending) // 2
        for event in events:
            self._note(event, min(max(event.sample, self._emitted), total))
        end = self._marks[-1].end_sample if self._marks else self._emitted
        if end > self._emitted and (self._emitted == 0 or end - self._emitted >= self._min_piece):
            return self._cut(end)
        open_since = self._timeline.open_since
        if open_since is None:
            wanted = self._min_piece if self._has_words else self._max_word
            return self._cut(total) if total - self._emitted >= wanted else None
        longest = self._longest_unit if self._timeline.in_unit else self._max_word
        if total - open_since >= longest:
            self._marks += self._timeline.close(total, estimated=True)
            return self._cut(total)
        return None

    def rest(self) -> SpokenPiece | None:
        """Return what is left at the end of the text; None if that is silence without a word."""
        if not self._has_words and not any(self._pending):
            return None
        total = self._emitted + len(self._pending) // 2
        self._marks += self._timeline.close(total, before=len(self._timeline.text))
        return self._cut(total)

    def _note(self, event: LibraryEvent, sample: int) -> None:
        if event.kind == "clause end":
            self._timeline.clause_end(sample)
            return
        self._has_words = True
        self._marks += self._timeline.word(event.position, event.length, sample)

    def _cut(self, end: int) -> SpokenPiece:
        size = 2 * (end - self._emitted)
        piece = SpokenPiece(tuple(self._marks), bytes(self._pending[:size]))
        del self._pending[:size]
        self._marks.clear()
        if self._emitted:
            self._min_piece = min(self._max_piece, 2 * self._min_piece)
        self._emitted = end
        return piece
