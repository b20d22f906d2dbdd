"""Reads English text that is still arriving."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace

from streaming_server.text.english.rule import BEFORE
from streaming_server.text.english.rules import CANDIDATE, CONTINUES, WORD_CHARACTERS, read
from streaming_server.text.items import Item, Said
from streaming_server.text.offsets import SourceMap
from streaming_server.text.prosody import ProsodyChange

LONGEST_WORD = 200
"""Characters without white space. A longer word is spoken as it is."""
WINDOW_WORDS = 6
"""Most words that one reading looks at."""

_WORD = re.compile(rf"[{WORD_CHARACTERS}]+")
_BROKEN_OFF = re.compile(rf"(?<![{WORD_CHARACTERS}])[{WORD_CHARACTERS}]+\Z")
_LONG = re.compile(rf"(?<![{WORD_CHARACTERS}])[{WORD_CHARACTERS}]{{{LONGEST_WORD + 1},}}+")
_GAP = re.compile(r"[ \t\u00a0\u202f]{1,2}")


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of prosody in front of the text at an offset into all text pushed."""

    at: int
    what: ProsodyChange


class EnglishReader:
    """Turns figures, signs and abbreviations into words; everything else passes.

    Prosody may change within a figure: "<emphasis>5</emphasis> km" is one.

    What comes out depends on the text and on where it was flushed, not on how it was cut.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._begin = 0
        self._long = False
        self._source = SourceMap()
        self._changes: deque[_Change] = deque()
        self._items: list[Item] = []

    def push(self, items: list[Item]) -> list[Item]:
        """Return the items that are decided so far."""
        parts = [self._text]
        for item in items:
            if isinstance(item, Said) and not item.settled:
                self._source.append(item)
                parts.append(item.text)
            elif isinstance(item, ProsodyChange):
                self._changes.append(_Change(self._source.end, item))
            else:
                self._text = "".join(parts)
                self._pass(item)
                parts = []
        self._text = "".join(parts)
        self._read_words(final=False)
        return self._taken()

    def flush(self) -> list[Item]:
        """Return the rest, read as if the text ended here."""
        self._read_words(final=True)
        self._pass_changes(self._source.end)
        return self._taken()

    def _pass(self, item: Item) -> None:
        """Pass an item that is not text, after reading the text before it."""
        self._read_words(final=True)
        self._pass_changes(self._source.end)
        self._items.append(item)
        self._long = False
        self._begin = self._source.end
        self._text, self._at = "", 0

    def _taken(self) -> list[Item]:
        kept = max(0, self._at - BEFORE)
        self._text = self._text[kept:]
        self._begin += kept
        self._at -= kept
        self._source.forget(self._begin + self._at)
        items, self._items = self._items, []
        return items

    def _read_words(self, *, final: bool) -> None:
        text = self._text
        if self._long:
            rest = _WORD.match(text, self._at)
            self._keep(rest.end() if rest else self._at)
            self._long = self._at == len(text)
        while (long := _LONG.search(text, self._at)) is not None:
            self._read_until(long.start(), long.start())
            self._keep(long.end())
            self._long = long.end() == len(text)
        broken_off = None if final or self._long else self._broken_off()
        self._read_until(broken_off.start() if broken_off else len(text), len(text) if final else None)

    def _broken_off(self) -> re.Match[str] | None:
        """Return the word that more text may lengthen. It may go on one that a flush cut."""
        return _WORD.fullmatch(self._text, self._at) or _BROKEN_OFF.search(self._text, self._at)

    def _read_until(self, ready: int, end: int | None) -> None:
        """Read the words that are complete, those before `ready`. end: where the text ends, if it does."""
        text, search = self._text, self._at
        ascii_only = text.isascii()
        ends: dict[int, int] = {}
        while (candidate := CANDIDATE.search(text, search, ready)) is not None:
            place = candidate.start()
            window = _window(text, place, ready, end, ends)
            if window is None:
                self._keep(place)
                return
            # A sentence may begin with a figure; then the letter after the figure tells its language.
            before = text[max(0, place - BEFORE) : place]
            foreign = not ascii_only and (_is_foreign(before) or _is_foreign(text[window : window + 1]))
            reading = None if foreign else read(text, place, window)
            if reading is None:
                search = place + 1
                continue
            self._keep(place)
            self._replace(*reading)
            search = self._at
        self._keep(ready)

    def _keep(self, end: int) -> None:
        """Pass the text up to `end` on as it is."""
        stop = self._begin + end
        while self._changes and self._changes[0].at < stop:
            self._pass_text(self._changes[0].at)
            self._items.append(self._changes.popleft().what)
        self._pass_text(stop)

    def _pass_text(self, stop: int) -> None:
        begin = self._begin + self._at
        if stop > begin:
            self._items.extend(self._source.slice(begin, stop))
            self._at = stop - self._begin

    def _replace(self, end: int, words: str) -> None:
        begin, stop = self._begin + self._at, self._begin + end
        start, until = self._source.span(begin, stop)
        self._pass_changes(begin)
        inside = []
        while self._changes and self._changes[0].at < stop:
            inside.append(self._changes.popleft().what)
        self._items.extend(replace(change, at=start) for change in inside if _goes_before(change))
        self._items.append(Said(words, start, until, literal=False, settled=True))
        self._items.extend(replace(change, at=until) for change in inside if not _goes_before(change))
        self._at = end

    def _pass_changes(self, end: int) -> None:
        """Pass the changes of prosody up to an offset."""
        while self._changes and self._changes[0].at <= end:
            self._items.append(self._changes.popleft().what)


def _goes_before(change: ProsodyChange) -> bool:
    """Return whether a change within a figure takes effect in front of it, and not after it."""
    return change.prosody is not None or change.element == "speed"


def _window(text: str, at: int, ready: int, end: int | None, seen: dict[int, int]) -> int | None:
    """Return the end of the text that a reading at `at` may look at, or None while it is not known.

    seen: words that continue, by their beginning, with the beginning of the next; kept between calls.
    """
    for _ in range(WINDOW_WORDS):
        if (following := seen.get(at)) is not None:
            at = following
            continue
        word = _WORD.match(text, at, ready)
        if word is None:
            return at if at < ready or end is not None else None
        if not CONTINUES.fullmatch(word[0]):
            return word.end()
        gap = _GAP.match(text, word.end(), ready)
        if gap is None:
            return word.end() if word.end() < ready or end is not None else None
        seen[at] = gap.end()
        at = gap.end()
    return at if at < ready or end is not None else None


def _is_foreign(text: str) -> bool:
    """Return whether the last letter of a text is of another script, so that it is not English.

    A single Greek letter, as in "π ≈ 3.14", is a sign.
    """
    letters = [index for index, character in enumerate(text) if character.isalpha()][-2:]
    if not letters:
        return False
    last = text[letters[-1]]
    if "\u0370" <= last <= "\u03ff" and len(text) > 1 and letters[0] != letters[-1] - 1:
        return False
    return last > "\u024f" and not "\u1e00" <= last <= "\u1eff"
