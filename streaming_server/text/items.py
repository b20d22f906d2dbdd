"""Items of spoken text: text to speak, pauses, changes of speaker and of prosody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from streaming_server.text.prosody import ProsodyChange

LONGEST_PAUSE_S = 10.0
"""Longest pause that a text can ask for, in seconds."""


class Said(NamedTuple):
    """Text to speak, and where the client wrote it.

    start, end: code points into the client's text. literal: each character of `text` stands there as it is;
    otherwise `text` as a whole is spoken for all that is written from `start` to `end`. settled: no later
    stage changes the text. ipa: how to pronounce it, for engines that read IPA; `text` is the fallback.
    A named tuple because thousands are made for a long delta, and it is the cheapest.
    """

    text: str
    start: int
    end: int
    literal: bool = True
    settled: bool = False
    ipa: str | None = None

    def part(self, begin: int, stop: int) -> Said:
        """The characters of `text` from `begin` to `stop`. A part of a replacement keeps its whole span."""
        if begin == 0 and stop >= len(self.text):
            return self
        text = self.text[begin:stop]
        if self.literal:
            return Said(text, self.start + begin, self.start + begin + len(text), settled=self.settled)
        return Said(text, self.start, self.end, False, self.settled)


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause. at: offset into the client's text, in code points."""

    seconds: float
    at: int


@dataclass(frozen=True, slots=True)
class SpeakerChange:
    """A change of speaker to "S1" or "S2". at: offset into the client's text, in code points."""

    speaker: str
    at: int


Item = Said | Pause | SpeakerChange | ProsodyChange


def literal(text: str, start: int) -> Said:
    """Text that is spoken as it is written."""
    return Said(text, start, start + len(text))


def replacement(text: str, start: int, end: int, *, ipa: str | None = None) -> Said:
    """Text that is spoken for what is written from `start` to `end`."""
    return Said(text, start, end, literal=False, settled=True, ipa=ipa)


def pause(seconds: float, at: int) -> Pause:
    """A pause within the limits."""
    return Pause(min(max(seconds, 0.0), LONGEST_PAUSE_S), at)
