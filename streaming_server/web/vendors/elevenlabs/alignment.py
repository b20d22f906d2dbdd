"""Character times in ElevenLabs' form.

A message's `alignment` counts from where the last one ended, its `normalizedAlignment` from the start of the
context: some clients add up what each message covers, others take the times as they are, and so both read
the same. Each covers whole words with the space after them, which is what tells a client that a word is
complete. Pure: no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from streaming_server.render import TimedWord


@dataclass(frozen=True, slots=True)
class Characters:
    """Characters and when each is heard, in milliseconds from the start of the context, ascending.

    since: where the characters before them ended.
    """

    since: int
    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def relative(self) -> dict[str, Any]:
        return self._to_json(self.since)

    @property
    def absolute(self) -> dict[str, Any]:
        return self._to_json(0)

    def _to_json(self, zero: int) -> dict[str, Any]:
        return {
            "chars": list(self.text),
            "charStartTimesMs": [start - zero for start in self.starts],
            "charDurationsMs": [end - start for start, end in zip(self.starts, self.ends, strict=True)],
        }


class Alignment:
    """Collect words and hand out their characters with the audio that they begin in.

    sample_rate: Hz of the samples that words are timed in.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._words: deque[TimedWord] = deque()
        self._end = 0

    def add(self, words: Iterable[TimedWord]) -> None:
        self._words.extend(words)

    def cuts(self, first: int, last: int) -> list[int]:
        """Return the samples between two at which one word's characters end and the next one's begin."""
        ends = [self._end, *(word.end_sample for word in self._words)]
        return sorted({end for end in ends if first < end < last})

    def take(self, until: int | None = None) -> Characters | None:
        """Return the characters of the words that begin before a sample; None if there are none."""
        since = self._ms(self._end)
        text: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        while self._words and (until is None or self._end < until):
            word = self._words.popleft()
            edges = self._edges(word)
            text.append(word.written)
            starts += edges[:-1]
            ends += edges[1:]
            if word.spaced:
                text.append(" ")
                starts.append(edges[-1])
                ends.append(edges[-1])
            self._end = max(self._end, word.end_sample)
        if not text:
            return None
        return Characters(since, "".join(text), tuple(starts), tuple(ends))

    def _edges(self, word: TimedWord) -> list[int]:
        """Return where the word's characters begin and the last one ends, spread evenly."""
        start, end = max(word.first_sample, self._end), max(word.end_sample, self._end)
        count = len(word.written)
        return [self._ms(start + (end - start) * index // count) for index in range(count + 1)]

    def _ms(self, sample: int) -> int:
        return round(1000 * sample / self._sample_rate)
