"""Splits text that has no sentence boundary."""

from __future__ import annotations

import re
import unicodedata

ASIDE = 30
"""Longest parenthesis, in characters, that is kept whole."""

_LAST_SPACE = re.compile(r".*(?=\s)", re.DOTALL)
_OPEN_ASIDE = re.compile(r"[(\[](?:\w[^()\[\]]*)?\Z")
_JOINER = "\u200d"


def cut(text: str, head: int, limit: int) -> int:
    """Return where to cut: after `head`, at most at `limit`. Reads nothing after text[limit].

    Prefers white space, and does not split a short parenthesis, a combining sequence or a joined emoji.
    """
    begin = limit - len(text[head:limit].lstrip())
    space = _LAST_SPACE.match(text, begin, limit + 1)
    mark = limit
    while mark - 1 > max(begin, limit - ASIDE) and _continues_character(text, mark):
        mark -= 1
    for place in (space.end() if space else begin, mark):
        kept = _before_aside(text, begin, place)
        if kept > begin:
            return kept
    return limit


def inside_aside(text: str, head: int, start: int, end: int) -> bool:
    """Return whether the run of terminators from `start` to `end` stands in an open short parenthesis."""
    opened = _OPEN_ASIDE.search(text[max(head, start - ASIDE) : start])
    return bool(opened) and not any(character in ")]" for character in text[start:end])


def _before_aside(text: str, begin: int, place: int) -> int:
    """Move a cut in front of a parenthesis that it would split, but not before `begin`."""
    start = max(begin, place - ASIDE)
    aside = _OPEN_ASIDE.search(text[start:place])
    return start + aside.start() if aside else place


def _continues_character(text: str, at: int) -> bool:
    """Return whether a cut there would split a combining sequence or a joined emoji."""
    return _JOINER in text[at - 1 : at + 1] or unicodedata.category(text[at])[0] == "M"
