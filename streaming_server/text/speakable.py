"""Finds the characters of a text that are read aloud."""

from __future__ import annotations

import re
import unicodedata

_MARKS = re.compile(r"[\W_]*+")
_MARKUP = frozenset("*#<>|~^`")
"""Symbols that shape a text and say nothing."""
_READ = frozenset("%&@")
"""Unicode punctuation that is read aloud."""


def first_sound(text: str, start: int, end: int) -> int:
    """Return the index, from `start` to `end`, of the first character that is read aloud; `end` if none is.

    Letters and digits of any script are read aloud, and symbols such as currencies, arrows and emoji.
    Punctuation, white space and markup are not.
    """
    marks = _MARKS.match(text, start, end)
    stop = marks.end() if marks else start
    for index in range(start, stop):
        if _is_symbol(text[index]):
            return index
    return stop


def _is_symbol(character: str) -> bool:
    if character.isspace() or character in _MARKUP:
        return False
    return character in _READ or unicodedata.category(character) in ("Sc", "Sm", "So")
