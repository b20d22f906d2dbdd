"""`<prosody>`, `<emphasis>` and `<speed>`: how fast and how high a part of a text is spoken."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

from streaming_server.types import ProsodySpan

SLOWEST, FASTEST = 0.25, 4.0
LOWEST, HIGHEST = 0.5, 2.0
"""Bounds of speed and pitch, nested elements together."""

DEEPEST = 32
"""Elements that count within one another; those deeper change nothing."""
_MOST_NAMED = 8 * DEEPEST
"""Open elements whose names are kept; of those deeper, only the number."""

_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "fast": 1.3, "x-fast": 1.7}
_PITCHES = {"x-low": 0.7, "low": 0.85, "medium": 1.0, "high": 1.15, "x-high": 1.3}
_TYPICAL_HZ = 180.0
"""Pitch of a voice, against which a difference in Hz is taken."""
_NUMBER = re.compile(r"([+-]?)(\d{1,4}(?:\.\d{0,6})?|\.\d{1,6})\s?(%|st|hz|)")


@dataclass(frozen=True, slots=True)
class Prosody:
    """Factors on a voice's own speed and pitch."""

    speed: float = 1.0
    pitch: float = 1.0

    def within(self, outer: Prosody) -> Prosody:
        """Return the prosody of an element inside another, within the bounds."""
        speed, pitch = self.speed * outer.speed, self.pitch * outer.pitch
        return Prosody(min(max(speed, SLOWEST), FASTEST), min(max(pitch, LOWEST), HIGHEST))


NEUTRAL = Prosody()

_EMPHASIS = {"strong": Prosody(0.85, 1.1), "moderate": Prosody(0.92, 1.05), "reduced": Prosody(1.08, 0.96)}


@dataclass(frozen=True, slots=True)
class ProsodyChange:
    """The start of an element that sets the prosody, or its end, where `prosody` is None.

    at: offset into the client's text, in code points.
    """

    element: str
    prosody: Prosody | None
    at: int


class OpenProsody:
    """The elements that are open. A tag without its counterpart does no harm."""

    def __init__(self) -> None:
        self._open: list[tuple[str, Prosody]] = []
        self._nameless = 0

    @property
    def current(self) -> Prosody:
        return self._open[-1][1] if self._open else NEUTRAL

    def change(self, change: ProsodyChange) -> None:
        if change.prosody is None:
            self._close(change.element)
        elif len(self._open) < DEEPEST:
            self._open.append((change.element, change.prosody.within(self.current)))
        elif len(self._open) < _MOST_NAMED:
            self._open.append((change.element, self.current))
        else:
            self._nameless += 1

    def _close(self, element: str) -> None:
        """Close the innermost element of this name, with those in it; `speak` closes all."""
        if element == "speak":
            self._open.clear()
            self._nameless = 0
        elif self._nameless:
            self._nameless -= 1
        else:
            at = next((at for at in reversed(range(len(self._open))) if self._open[at][0] == element), None)
            if at is not None:
                del self._open[at:]


class ProsodyTimeline:
    """The prosody of each part of a spoken text. Offsets are code points into the spoken text."""

    def __init__(self) -> None:
        self._current = NEUTRAL
        self._changes: deque[tuple[int, Prosody]] = deque()

    @property
    def latest(self) -> Prosody:
        """The prosody of text that is still to come."""
        return self._changes[-1][1] if self._changes else self._current

    def change(self, at: int, prosody: Prosody) -> None:
        self._changes.append((at, prosody))

    def take(self, begin: int, end: int) -> tuple[Prosody, tuple[ProsodySpan, ...]]:
        """Return the prosody of the text from `begin` to `end`, and parts of it that have one of their own.

        There are no parts where all of the text has the same prosody. Parts count from `begin`. The next call
        must not go back.
        """
        while self._changes and self._changes[0][0] <= begin:
            self._current = self._changes.popleft()[1]
        changes = takewhile(lambda change: change[0] < end, self._changes)
        starts = [(begin, self._current), *changes]
        if len({prosody for _, prosody in starts}) == 1:
            return self._current, ()
        ends = [*(at for at, _ in starts[1:]), end]
        return NEUTRAL, tuple(
            ProsodySpan(start - begin, until - begin, prosody.speed, prosody.pitch)
            for (start, prosody), until in zip(starts, ends, strict=True)
            if prosody != NEUTRAL
        )


def prosody_of(element: str, attributes: Mapping[str, str]) -> Prosody:
    """Return the prosody that an element asks for. Values that are not understood change nothing."""
    if element == "emphasis":
        return _EMPHASIS.get(attributes.get("level", "moderate").lower(), NEUTRAL)
    if element == "speed":
        return Prosody(speed=_factor(attributes.get("ratio", ""), {}))
    speed = _factor(attributes.get("rate", ""), _RATES)
    return Prosody(speed, _factor(attributes.get("pitch", ""), _PITCHES)).within(NEUTRAL)


def _factor(value: str, names: Mapping[str, float]) -> float:
    """Read "slow", "80%", "+20%", "1.2", "+2st" or "-10Hz"; 1 for anything else.

    "0%" is no change, as in Azure's SSML, where many clients send `rate="0%" pitch="0%"`.
    """
    value = value.strip().lower()
    if value in names:
        return names[value]
    match = _NUMBER.fullmatch(value)
    if match is None:
        return 1.0
    number = float(match[2]) * (-1 if match[1] == "-" else 1)
    match match[3], bool(match[1]):
        case "%", False if not number:
            return 1.0
        case "%", relative:
            return max(0.0, number / 100 + relative)
        case "st", _:
            return float(2 ** (min(max(number, -24), 24) / 12))
        case "hz", True:
            return max(0.0, 1 + number / _TYPICAL_HZ)
        case "", False if 0.1 <= number <= 10:
            return number
        case _:
            return 1.0
