"""Joins the audio of the parts of a sentence, so that it is heard without gaps."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from streaming_server.types import Audio, Event, WordMark, Words

AUDIBLE = 150
"""The sample value, of 32767, from which sound is heard. Pauses of the engines stay below it."""

BLOCK_S = 0.005
"""Audio that is looked through at once."""

EDGE_S = 0.02
"""Silence that is left in front of a part and behind it: sounds begin and end softly."""


@dataclass(frozen=True, slots=True)
class PartPlace:
    """The place of a part in its sentence.

    start: of its text, in code points. first, last: whether nothing is spoken before it, or after it.
    pause_s: silence added after it.
    """

    start: int
    first: bool
    last: bool
    pause_s: float = 0.0


class PartJoiner:
    """Turns the audio and word marks of one part into those of the whole sentence.

    Silence at a joint is dropped. The last word is held back until its end is known.

    utterance: the sentence's id. samples: those of the parts before.
    """

    def __init__(self, utterance: int, place: PartPlace, samples: int, sample_rate: int) -> None:
        self._utterance = utterance
        self._place = place
        self._block = round(BLOCK_S * sample_rate)
        self._edge = round(EDGE_S * sample_rate)
        self._pause = round(place.pause_s * sample_rate)
        self._begun = place.first
        self._begin = samples
        self._samples = samples
        self._shift = samples
        self._pcm = array("h")
        self._marks: list[WordMark] = []

    @property
    def samples(self) -> int:
        """Samples of the sentence that have been sent."""
        return self._samples

    def words(self, marks: tuple[WordMark, ...]) -> None:
        """Add marks."""
        self._marks += marks

    def audio(self, pcm: bytes) -> Iterator[Event]:
        """Add audio. Yield what can be sent."""
        self._pcm.frombytes(pcm)
        if not self._begun:
            sound = self._first_sound()
            if sound is None:
                return
            self._begin_at(max(0, sound - self._edge))
        if self._place.last:
            yield from self._send(len(self._pcm), len(self._marks))
            return
        until = self._last_sound()
        if self._marks:
            until = min(until, self._marks[-1].start_sample + self._shift - self._samples)
        if until > 0:
            yield from self._send(until, len(self._marks) - 1)

    def finish(self) -> Iterator[Event]:
        """Yield the rest."""
        if not self._begun:
            self._begin_at(len(self._pcm))
        if not self._place.last:
            del self._pcm[self._last_sound() + self._edge :]
            self._end_by(self._samples + len(self._pcm))
        yield from self._send(len(self._pcm), len(self._marks))
        if not self._place.last and self._pause and self._samples > self._begin:
            self._pcm.extend([0] * self._pause)
            yield from self._send(self._pause, 0)

    def _begin_at(self, sample: int) -> None:
        """Drop the silence in front of the part."""
        self._begun = True
        self._shift -= sample
        del self._pcm[:sample]

    def _end_by(self, sample: int) -> None:
        """Let no word reach beyond a sample of the sentence."""
        end = sample - self._shift
        self._marks = [
            replace(mark, start_sample=min(mark.start_sample, end), end_sample=min(mark.end_sample, end))
            for mark in self._marks
        ]

    def _send(self, samples: int, marks: int) -> Iterator[Event]:
        if marks > 0:
            yield Words(self._utterance, tuple(map(self._moved, self._marks[:marks])))
            del self._marks[:marks]
        if samples > 0:
            yield Audio(self._utterance, self._pcm[:samples].tobytes())
            del self._pcm[:samples]
            self._samples += samples

    def _moved(self, mark: WordMark) -> WordMark:
        """Return a mark of the part as one of the sentence."""
        start_sample = max(self._begin, mark.start_sample + self._shift)
        end_sample = max(start_sample, mark.end_sample + self._shift)
        start = self._place.start
        return WordMark(start + mark.start, start + mark.end, start_sample, end_sample, mark.estimated)

    def _first_sound(self) -> int | None:
        """Return the place of the first sound that has not been sent."""
        for at in range(0, len(self._pcm), self._block):
            block = self._pcm[at : at + self._block]
            if _is_audible(block):
                return at + _silent_samples(block)
        return None

    def _last_sound(self) -> int:
        """Return the end of the last sound that has not been sent; 0 if there is none."""
        for end in range(len(self._pcm), 0, -self._block):
            block = self._pcm[max(0, end - self._block) : end]
            if _is_audible(block):
                return end - _silent_samples(reversed(block))
        return 0


def _is_audible(block: array[int]) -> bool:
    return max(block) > AUDIBLE or min(block) < -AUDIBLE


def _silent_samples(samples: Iterable[int]) -> int:
    """Return the number of samples in front of the first audible one."""
    return next(place for place, sample in enumerate(samples) if abs(sample) > AUDIBLE)
