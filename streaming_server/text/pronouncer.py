"""Applies a pronunciation list to text that is still arriving."""

from __future__ import annotations

import regex

from streaming_server.text.english.names import SENTENCE_STARTERS, TITLES
from streaming_server.text.items import Item, Said
from streaming_server.text.offsets import SourceMap
from streaming_server.text.pronunciations import Pronunciation
from streaming_server.text.style import SpeakingStyle

_UP_TO_NEXT_WORD = regex.compile(r"""\s{0,3}["'“‘(]{0,2}""")
_NEXT_WORD = regex.compile(r"""\s{1,3}["'“‘(]{0,2}([^\W\d_][\w'’]*)""")
_BROKEN_OFF = regex.compile(r"[\w.&'’/+#-]{1,400}\Z")


class Pronouncer:
    """Replaces whole words by what is to be said for them, by the list that is in force when they come.

    A word broken off is held until it is complete, and a word that may begin an entry of several words until
    that is decided.
    """

    def __init__(self, style: SpeakingStyle) -> None:
        self._style = style
        self._text = ""
        self._begin = 0
        self._source = SourceMap()
        self._items: list[Item] = []

    def push(self, items: list[Item]) -> list[Item]:
        if not self._text and not self._style.pronunciations():
            return items
        for item in items:
            if isinstance(item, Said) and not item.settled:
                self._source.append(item)
                self._text += item.text
            else:
                self._say(len(self._text), more=False)
                self._items.append(item)
        broken_off = _BROKEN_OFF.search(self._text)
        self._say(broken_off.start() if broken_off else len(self._text), more=True)
        return self._taken()

    def flush(self) -> list[Item]:
        self._say(len(self._text), more=False)
        return self._taken()

    def _taken(self) -> list[Item]:
        self._source.forget(self._begin)
        items, self._items = self._items, []
        return items

    def _say(self, end: int, *, more: bool) -> None:
        """Pass on the text up to `end`, which ends a word. more: whether words that follow may count."""
        at, words = 0, self._style.pronunciations()
        for start, stop, said in words.find(self._text[:end], self._style.language, more=more):
            last = None if said is None else self._without_full_stop(start, stop, end, more=more)
            if said is None or last is None:
                end = start
                break
            if said.respelling or self._style.ipa:
                self._items.extend(self._source.slice(self._begin + at, self._begin + start))
                self._items.append(self._pronounced(start, last, said))
                at = last
        self._items.extend(self._source.slice(self._begin + at, self._begin + end))
        self._text = self._text[end:]
        self._begin += end

    def _without_full_stop(self, start: int, stop: int, end: int, *, more: bool) -> int | None:
        """Return where a word of the list ends: in front of a point that also ends the sentence.

        None means that the word which tells is still to come.
        """
        written, rest = self._text[start:stop], self._text[stop:end]
        if not written.endswith(".") or not self._style.english or written[:-1].capitalize() in TITLES:
            return stop
        if more and _UP_TO_NEXT_WORD.fullmatch(rest):
            return None
        following = _NEXT_WORD.match(rest)
        return stop - 1 if following and following[1] in SENTENCE_STARTERS else stop

    def _pronounced(self, start: int, stop: int, said: Pronunciation) -> Said:
        begin, end = self._source.span(self._begin + start, self._begin + stop)
        ipa = said.ipa if self._style.ipa else None
        written = self._text[start:stop]
        return Said(said.respelling or written, begin, end, literal=False, settled=True, ipa=ipa)
