"""Maps from spoken text to the client's text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from streaming_server.text.items import Said


class SourceMap:
    """Maps spoken text, given as consecutive `Said`, back to what the client wrote.

    Offsets into the spoken text count from the first text appended, also after `forget`.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._said: list[Said] = []
        self._end = 0

    @property
    def end(self) -> int:
        """Length of the spoken text so far, in code points."""
        return self._end

    def append(self, said: Said) -> None:
        if said.text:
            self._starts.append(self._end)
            self._said.append(said)
            self._end += len(said.text)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the client's text for the spoken text from `start` to `end`, which is not empty.

        A part of a replacement maps to the whole span that was replaced.
        """
        first = self._index(start)
        last = first if end <= self._starts[first] + len(self._said[first].text) else self._index(end - 1)
        head = self._said[first].part(start - self._starts[first], len(self._said[first].text))
        tail = self._said[last].part(0, end - self._starts[last])
        return head.start, max(head.start, tail.end)

    def slice(self, start: int, end: int) -> Iterator[Said]:
        """Iterate over the parts of the spoken text from `start` to `end`."""
        if start >= end:
            return
        for index in range(self._index(start), len(self._said)):
            begin = self._starts[index]
            if begin >= end:
                return
            yield self._said[index].part(max(0, start - begin), end - begin)

    def forget(self, before: int) -> None:
        """Drop the parts that end at or before an offset; they can no longer be looked up."""
        keep = bisect_right(self._starts, before) - 1
        if keep >= 0 and self._starts[keep] + len(self._said[keep].text) <= before:
            keep += 1
        if keep > 0:
            del self._starts[:keep], self._said[:keep]

    def _index(self, offset: int) -> int:
        return bisect_right(self._starts, offset) - 1 if len(self._starts) > 1 else 0
