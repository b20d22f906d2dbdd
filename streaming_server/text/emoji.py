"""Emoji, and characters that cannot be seen."""

from __future__ import annotations

import unicodedata

import regex

from streaming_server.text.cursor import Construct, Cursor
from streaming_server.text.items import Item, replacement

EMOJI = r"[\p{Emoji}\u25a0-\u25ff\u2605\u2606\u2713-\u2718]--[\u0000-\u22ff]"
"""Pictures and ornaments. Signs that are also text stay: digits, © and ™, arrows."""
EMOJI_PARTS = r"\p{Emoji_Modifier}\p{Regional_Indicator}\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f"
"""Skin colours, halves of flags, variation selectors, keycaps, tags."""
INVISIBLE = r"\u200b\u00ad\ufeff\u2060\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Zero-width space, soft hyphen, byte order mark, word joiner, direction marks. Not ZWJ and ZWNJ: scripts
need them."""

_ANSWERS = dict.fromkeys("✓✔✅☑", "yes") | dict.fromkeys("✗✘✕✖❌", "no")
"""Readings of ticks and crosses in the cells of a table."""

JOINER = "\u200d"
FLAG = "flag"

_PART = regex.compile(f"[{EMOJI_PARTS}]", regex.V1)
_DROPPED = regex.compile(f"[[{EMOJI}][{EMOJI_PARTS}]{JOINER}]", regex.V1)
_REGIONAL = regex.compile(r"\p{Regional_Indicator}")


def picture(cursor: Cursor) -> Construct | None:
    """One character of an emoji, left out or read by its name."""
    end = cursor.at + 1
    character = cursor.text[cursor.at]
    if cursor.row and cursor.style.english and (answer := _ANSWERS.get(character)):
        return Construct(end, (replacement(answer, cursor.place, cursor.place + 1),))
    if not cursor.style.name_emoji:
        return Construct(end, _gap(cursor))
    if _REGIONAL.match(character):
        name = "" if _REGIONAL.match(cursor.previous) else FLAG
    else:
        name = "" if _PART.match(character) else unicodedata.name(character, "").lower()
    if not name:
        return Construct(end)
    return Construct(end, (replacement(f" {name} ", cursor.place, cursor.place + 1),))


def _gap(cursor: Cursor) -> tuple[Item, ...]:
    """A space, where an emoji alone keeps two words apart."""
    if not cursor.previous.strip() or not cursor.following().isalnum():
        return ()
    return (replacement(" ", cursor.place, cursor.place + 1)._replace(settled=False),)


def invisible(cursor: Cursor) -> Construct | None:
    return Construct(cursor.at + 1)


def joiner(cursor: Cursor) -> Construct | None:
    """A joiner after an emoji joins the next one to it; elsewhere a script needs it."""
    return Construct(cursor.at + 1) if _DROPPED.match(cursor.previous) else None
