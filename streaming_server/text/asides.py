"""Sounds that a text asks for in parentheses."""

from __future__ import annotations

import regex

from streaming_server.text.cursor import Construct, Cursor
from streaming_server.text.nonverbals import NONVERBALS

_ALSO = {"laugh", "laughing", "laughter", "chuckles", "sigh", "gasp", "cough", "clears his throat"} | {
    "clears her throat",
    "pause",
}
_NAMES = "|".join(sorted(map(regex.escape, NONVERBALS | _ALSO)))
_NONVERBAL = regex.compile(rf"\((?:{_NAMES})\)", regex.IGNORECASE)


def nonverbal(cursor: Cursor) -> Construct | None:
    """A sound that the engine cannot make is left out."""
    match = None if cursor.style.nonverbals else cursor.match(_NONVERBAL)
    return Construct(match.end()) if match else None
