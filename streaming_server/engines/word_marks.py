"""Word marks of words that are spoken together."""

from __future__ import annotations

from collections.abc import Sequence

from streaming_server.types import WordMark


def share_time(
    spans: Sequence[tuple[int, int]], start: int, end: int, *, estimated: bool
) -> tuple[WordMark, ...]:
    """Divide the samples from `start` to `end` among words, in proportion to their lengths.

    spans: the words, in code points.
    """
    letters = sum(last - first for first, last in spans)
    marks: list[WordMark] = []
    at, read = start, 0
    for first, last in spans:
        read += last - first
        until = start + (end - start) * read // letters
        marks.append(WordMark(first, last, at, until, estimated))
        at = until
    return tuple(marks)
