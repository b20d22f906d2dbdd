"""What of a written text can be heard."""

from __future__ import annotations

import re
import unicodedata

_MARKS = re.compile(r"[\W_]*+")
_MARKUP = frozenset("*#<>|~^`")
"""Symbols that, by themselves, shape a text rather than say something."""
_READ = frozenset("%&@")
"""Punctuation, by Unicode, that is read aloud."""


def first_sound(text: str, start: int, end: int) -> int:
    """Where, from `start` to `end`, the first thing stands that is read aloud; `end` if there is none.

    Letters and digits of any script are, and symbols such as currencies, arrows and emoji; punctuation,
    white space and markup are not.
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
