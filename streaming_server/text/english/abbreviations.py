"""Abbreviations, initials and Roman numerals. An abbreviation's point makes no pause."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.names import (
    ABBREVIATIONS,
    DIRECTIONS,
    LAST_WORDS,
    NUMBERED,
    ROMAN_AFTER,
    ROMAN_ORDINAL_AFTER,
    SENTENCE_STARTERS,
    SHORT_WORDS,
    STREETS,
    TITLES,
)
from streaming_server.text.english.rule import (
    Rule,
    alternatives,
    before,
    letters,
    rest_of,
    stop_ends_sentence,
)
from streaming_server.text.english.units import PER, UNITS

_NAME_BEFORE = re.compile(r"([A-Z0-9][\w'’]*)\s\Z")
_AS_WORD_AFTER = {
    "no": re.compile(
        r"\b(?:sa(?:y|ys|id|ying)|answered|replied|voted|oh|yes or)[,:]? [\"'“‘]?\Z", re.IGNORECASE
    ),
    "Max": re.compile(r"\w \Z"),
    "Min": re.compile(r"\w \Z"),
}
"""Patterns of the text in front of "no", "Max" and "Min" where they are words and not abbreviations."""
_NOUN_AFTER = re.compile(
    r"\s(?!(?:and|or|was|is|of|in|at|by|to|who|had|has|died|for|from|with|the|as|on|will|would|that|but)\b)[a-z]"
)
"""A word after which "IV" is no numeral: "Start IV antibiotics"."""
_ENDS_NAME = re.compile(r"[,;:.)]|'s|\Z")
"""Text that follows "I" where that is a numeral after a name, as in "Elizabeth I, queen of England"."""
_OR = frozenset({"he/she", "she/he", "his/her", "him/her", "himself/herself", "yes/no", "true/false"})
_ROMAN_DIGITS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


_ROMAN = r"(?=[IVXL])(?:X[LC]|L?X{0,3})(?:IX|IV|V?I{0,3})\b(?!\.\w)(?!['’](?!s\b)\w)"


def _title(match: re.Match[str]) -> str:
    return TITLES[match[1]]


def _abbreviation(match: re.Match[str]) -> str:
    return ABBREVIATIONS[match[0]]


def _last_word(match: re.Match[str]) -> str:
    return LAST_WORDS[match[0]] + ("." if stop_ends_sentence(rest_of(match)) else "")


def _acronym(match: re.Match[str]) -> str:
    return letters(match[0].replace(".", "").upper()) + (
        "." if stop_ends_sentence(rest_of(match), name=True) else ""
    )


def _initials(match: re.Match[str]) -> str:
    return letters(re.sub(r"[.\s]", "", match[0])) + " "


def _numbered(match: re.Match[str]) -> str | None:
    """ "no. 5" and "Max. 3 guests", but not "She said no. 5 went" or "I met Max. 3 days later"."""
    word = _AS_WORD_AFTER.get(match[1])
    if word and word.search(before(match)):
        return None
    name = NUMBERED[match[1]]
    name = name.capitalize() if match[1][0].isupper() else name
    return f"{name} {numbers.number(match[2])}" if match[2] else name


def _saint_or_street(match: re.Match[str]) -> str:
    """ "Main St." or "St. John"."""
    rest = rest_of(match)
    if not _follows_name(match) and re.match(r"\s+[A-Z]", rest):
        return "Saint"
    return "Street" + ("." if stop_ends_sentence(rest) else "")


def _street(match: re.Match[str]) -> str | None:
    """ "Downing St, London"."""
    return STREETS[match[1]] if _follows_name(match) else None


def _follows_name(match: re.Match[str]) -> bool:
    name = _NAME_BEFORE.search(before(match))
    return name is not None and name[1] not in SENTENCE_STARTERS


def _either(match: re.Match[str]) -> str | None:
    """ "and/or", "TCP/IP", "km/h"."""
    first, last = match[1], match[2]
    if first in UNITS and last in PER and (len(first) > 1 or match[0] == "m/s"):
        return f"{UNITS[first][1]} per {PER[last]}"
    if last in PER and len(first) > 3 and first.endswith("s") and first.islower():
        return f"{first} per {PER[last]}"
    return f"{first}{' or ' if match[0].lower() in _OR else ' '}{last}"


def _roman_name(match: re.Match[str]) -> str | None:
    """ "Rocky III", "the XIX century"."""
    number = _roman(match[1])
    rest = rest_of(match)
    if number and rest.startswith((" century", " centuries")):
        return numbers.ordinal(number)
    if match[1] == "IV" and _NOUN_AFTER.match(rest):
        return None
    return numbers.cardinal(number) if number and _follows_name(match) else None


def _roman_item(match: re.Match[str]) -> str | None:
    """ "III. Methods", at the beginning of a line."""
    number = _roman(match[1])
    return numbers.cardinal(number) if number and before(match)[-1:] in ("", "\n") else None


def _roman_cardinal(match: re.Match[str]) -> str | None:
    number = _roman(match[2])
    return f"{match[1]} {numbers.cardinal(number)}" if number else None


def _numbered_roman(match: re.Match[str]) -> str | None:
    """ "Vol. II"."""
    number = _roman(match[2])
    return f"{NUMBERED[match[1]].capitalize()} {numbers.cardinal(number)}" if number else None


def _roman_ordinal(match: re.Match[str]) -> str | None:
    number = _roman(match[2])
    return (
        f"{match[1]} the {numbers.ordinal(number)}"
        if number and (match[2] != "I" or _ENDS_NAME.match(rest_of(match)))
        else None
    )


def _roman(numeral: str) -> int:
    if not numeral:
        return 0
    values = [_ROMAN_DIGITS[digit] for digit in numeral]
    following = [*values[1:], 0]
    return sum(-value if value < after else value for value, after in zip(values, following, strict=True))


RULES = (
    Rule("A", r"St\.(?=\s|\Z|[,;:!?)])", _saint_or_street),
    Rule("A", rf"({alternatives(TITLES)})\.(?=\s+[A-Z])", _title),
    Rule("A", r"([NSEW])\.(?=\s\d+(?:st|nd|rd|th)\b)", lambda match: DIRECTIONS[match[1]]),
    Rule("A", rf"({alternatives(NUMBERED)})\.(?:(\d{{1,5}})(?![\w.])|(?=\s?[#+(]?\d))", _numbered),
    Rule("A", rf"(?:{alternatives(ABBREVIATIONS)})(?!\w)", _abbreviation),
    Rule("A", rf"(?:{alternatives(LAST_WORDS)})(?!\w)", _last_word),
    Rule("A", r"(?:[A-Z]\.\s){2,}(?=[A-Z][a-z])", _initials),
    Rule("A", r"(?:[A-Za-z]\.){2,}(?!\w)", _acronym),
    Rule("A", rf"({ROMAN_AFTER}) ({_ROMAN})", _roman_cardinal),
    Rule("A", rf"(Vol|Ch|Fig|Sec|Art|Bk|Pt)\. ({_ROMAN})", _numbered_roman),
    Rule("A", rf"({ROMAN_ORDINAL_AFTER}) ({_ROMAN})", _roman_ordinal),
    Rule("A", rf"(?=[IVX]{{2}})({_ROMAN})", _roman_name),
    Rule("A", rf"(?=[IVX]{{2}})({_ROMAN})(?=\.(?:\s|\Z))", _roman_item),
    Rule("A", rf"({alternatives(SHORT_WORDS)})(?!\w)", lambda match: SHORT_WORDS[match[1]]),
    Rule("A", rf"({alternatives(STREETS)})(?=[,;]|\s*\Z|\s(?:[NS][EW]|and|in|at|is|to|was|near)\b)", _street),
    Rule("A", r"Dr\.(?=\s[a-z]|[,;])", lambda match: "Drive" if _follows_name(match) else None),
    Rule("A", r"w/(?!\S)", lambda match: "with"),
    Rule("A", r"w/o(?!\w)", lambda match: "without"),
    Rule("A", r"(?<!/)b/c(?![\w/])", lambda match: "because"),
    Rule("A", r"(?<!/)([A-Za-z]+)/([A-Za-z]+)(?![\w/.:@])", _either),
    Rule(
        "A",
        r"([A-Z][A-Za-z]+)/(\d(?:\.\d)?)(?![\w/])",
        lambda match: f"{match[1]} {numbers.number(match[2])}",
    ),
    Rule("A", r"([CFJ])#(?!\w)", lambda match: f"{match[1]} sharp"),
)

LEADS = (
    rf"(?:{alternatives([*TITLES, *NUMBERED, 'St'])})\.|{alternatives([*ABBREVIATIONS, *LAST_WORDS])}"
    rf"|(?:{ROMAN_AFTER}|{ROMAN_ORDINAL_AFTER})\b|(?:World|Super|John)\b|[IVX]{{2,}}\b|[A-Z]\.|w/|(?:{alternatives(SHORT_WORDS)})\b|(?:{alternatives(STREETS)})\b"
)
"""Pattern of the first word of these abbreviations; the next word may not have arrived yet."""
