"""Character times in ElevenLabs' forms.

On the websockets, a message's `alignment` counts from where the last one ended, its `normalizedAlignment`
from the start of the context: some clients add up what each message covers, others take the times as they
are, and so both read the same. Each covers whole words with the space after them, which is what tells a
client that a word is complete. Pure: no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from streaming_server.render import TimedWord


class Characters:
    """Characters and when each is heard, in samples from the start of the context, ascending.

    since: the sample where the characters before them ended.
    """

    def __init__(self, sample_rate: int, since: int = 0) -> None:
        self._sample_rate = sample_rate
        self._since = since
        self._text: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._text)

    def add(self, text: str, start: int, end: int) -> None:
        """Add text that is heard from one sample to another, its characters spread evenly."""
        edges = [start + (end - start) * index // len(text) for index in range(1, len(text))]
        if text:
            self._text += text
            self._starts += [start, *edges]
            self._ends += [*edges, end]

    def extend(self, others: Characters) -> None:
        """Add the characters that follow these."""
        self._text += others._text
        self._starts += others._starts
        self._ends += others._ends

    @property
    def relative(self) -> dict[str, Any]:
        """The form of a websocket's `alignment`."""
        return self._in_ms(self._ms(self._since))

    @property
    def absolute(self) -> dict[str, Any]:
        """The form of a websocket's `normalizedAlignment`."""
        return self._in_ms(0)

    def in_seconds(self) -> dict[str, Any] | None:
        """Return the form of an HTTP response; None if there are no characters."""
        if not self:
            return None
        return {
            "characters": self._text,
            "character_start_times_seconds": [round(start / self._sample_rate, 4) for start in self._starts],
            "character_end_times_seconds": [round(end / self._sample_rate, 4) for end in self._ends],
        }

    def _in_ms(self, zero: int) -> dict[str, Any]:
        starts, ends = map(self._ms, self._starts), map(self._ms, self._ends)
        times = list(zip(starts, ends, strict=True))
        return {
            "chars": self._text,
            "charStartTimesMs": [start - zero for start, _ in times],
            "charDurationsMs": [end - start for start, end in times],
        }

    def _ms(self, sample: int) -> int:
        return round(1000 * sample / self._sample_rate)


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
        characters = Characters(self._sample_rate, self._end)
        while self._words and (until is None or self._end < until):
            word = self._words.popleft()
            start, end = max(word.first_sample, self._end), max(word.end_sample, self._end)
            characters.add(word.written, start, end)
            if word.spaced:
                characters.add(" ", end, end)
            self._end = end
        return characters or None
