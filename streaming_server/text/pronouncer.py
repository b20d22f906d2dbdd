"""Applies a pronunciation list to text that is still arriving."""

from __future__ import annotations

import re
from collections.abc import Mapping

from streaming_server.text.items import Item, Said
from streaming_server.text.offsets import SourceMap
from streaming_server.text.pronunciations import LONGEST_WORD, Pronunciation, find

_BROKEN_OFF = re.compile(r"[\w.&'’+#-]{1,400}\Z")
_LONG = re.compile(rf"(?<![\w.&'’+#-])[\w.&'’+#-]{{{2 * LONGEST_WORD},}}+")


class Pronouncer:
    """Replaces whole words by what is to be said for them. A word broken off is held until it is complete."""

    def __init__(self, words: Mapping[str, Pronunciation], *, ipa: bool) -> None:
        self._words = {word: said for word, said in words.items() if ipa or said.respelling}
        self._ipa = ipa
        self._text = ""
        self._begin = 0
        self._source = SourceMap()
        self._items: list[Item] = []

    def push(self, items: list[Item]) -> list[Item]:
        for item in items:
            if isinstance(item, Said) and not item.settled:
                self._source.append(item)
                self._text += item.text
            else:
                self._say(len(self._text))
                self._items.append(item)
        broken_off = _BROKEN_OFF.search(self._text)
        self._say(broken_off.start() if broken_off else len(self._text))
        return self._taken()

    def flush(self) -> list[Item]:
        self._say(len(self._text))
        return self._taken()

    def _taken(self) -> list[Item]:
        self._source.forget(self._begin)
        items, self._items = self._items, []
        return items

    def _say(self, end: int) -> None:
        """Pass on the text up to `end`, which ends a word."""
        at = 0
        for start, stop, said in find(self._words, self._text[:end]):
            self._items.extend(self._source.slice(self._begin + at, self._begin + start))
            self._items.append(self._pronounced(start, stop, said))
            at = stop
        self._items.extend(self._source.slice(self._begin + at, self._begin + end))
        self._text = self._text[end:]
        self._begin += end

    def _pronounced(self, start: int, stop: int, said: Pronunciation) -> Said:
        begin, end = self._source.span(self._begin + start, self._begin + stop)
        ipa = said.ipa if self._ipa else None
        written = self._text[start:stop]
        return Said(said.respelling or written, begin, end, literal=False, settled=True, ipa=ipa)
