"""Signs that stand alone or between words."""

from __future__ import annotations

import re

from streaming_server.text.english.abbreviations import alternatives
from streaming_server.text.english.reading import Reading, letters

_ALONE = {
    "&": "and",
    "@": "at",
    "%": "percent",
    "=": "equals",
    "==": "equals",
    "!=": "is not equal to",
    "≠": "is not equal to",
    "≈": "is about",
    "+": "plus",
    "×": "times",
    "÷": "divided by",
    "<": "is less than",
    ">": "is greater than",
    "≤": "is at most",
    "≥": "is at least",
    "→": "to",
    "->": "to",
    "=>": "to",
    "<-": "from",
    "§": "section",
    "~": "about",
}


def _alone(match: re.Match[str]) -> str:
    return _ALONE[match[0]]


def _letters(match: re.Match[str]) -> str:
    """ "AT&T", "R&D"."""
    return " and ".join(map(letters, match[0].split("&")))


READINGS = (
    Reading("+", rf"(?:{alternatives(_ALONE)})(?!\S)", _alone),
    Reading("A", r"[A-Z]{1,3}&[A-Z]{1,3}(?!\w)", _letters),
)
