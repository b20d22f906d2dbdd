"""All rules for reading English figures, signs and abbreviations aloud."""

from __future__ import annotations

import re

from streaming_server.text.english import (
    abbreviations,
    addresses,
    calendar,
    codes,
    figures,
    measures,
    money,
    symbols,
    telephone,
    versions,
)
from streaming_server.text.english.figures import SUBSCRIPTS, SUPERSCRIPTS
from streaming_server.text.english.names import (
    ABBREVIATIONS,
    BOOKS,
    LAST_WORDS,
    MONTH_OF,
    NUMBERED,
    ROMAN_AFTER,
    ROMAN_ORDINAL_AFTER,
    TITLES,
    WEEKDAY_OF,
)
from streaming_server.text.english.rule import alternatives
from streaming_server.text.english.units import CODES, SCALES, UNITS

RULES = (
    *addresses.RULES,
    *abbreviations.RULES,
    *telephone.RULES,
    *calendar.RULES,
    *money.RULES,
    *measures.RULES,
    *versions.RULES,
    *codes.RULES,
    *figures.RULES,
    *symbols.RULES,
)
"""The first that matches reads."""

WORD_CHARACTERS = r"!-~\u00a1-\u024f\u1e00-\u1eff\u2010-\u205e\u2070-\u209c\u20a0-\u20cf\u2100-\u22ff"
"""Characters of English words and figures; any other character ends them."""

START = r"(?<![^\s(\[{\"'“‘—–/±~≈<>≤≥#№§©√→⇒=@×])"
"""Pattern of a possible start of a word."""

CANDIDATE = re.compile(
    rf"{START}(?:(?:{abbreviations.LEADS})|(?:{calendar.MONTH})\b|(?:{alternatives(WEEKDAY_OF)})\b|(?:{versions.VERSIONED})\b"
    rf"|(?:{alternatives(CODES)})\b|(?:{BOOKS})\b|--?(?=[A-Za-z])|(?:(?<=[²³] )|(?<=\d[a-z] ))-(?=\s)"
    rf"|(?=[^\s]{{0,40}}?[0-9$£¥฿\u20a0-\u20cf@%&=+*−^×÷→←⇒∞√§#~<>≈≠≤≥№©±|/\\{measures.SIGNS}{SUPERSCRIPTS}{SUBSCRIPTS}]"
    rf"|[^\s.]{{0,40}}\.[A-Za-z])"
    rf"[{WORD_CHARACTERS}])"
)
"""Pattern of a possible start of a reading."""

CONTINUES = re.compile(
    r"\S*[\d½⅓⅔¼¾]\S*(?<![.!?;:)\]\"”’])|\d[\d./x×\"″]*(?:[\"″]|'')|\(\d{3}\)|[$£¥฿\u20a0-\u20cf+×*÷/=<>–−x№©±≤≥≠≈-]|§{1,2}|[<>!]=|of|[IVX]+|f[lt]|sq|World|War|Super|Bowl|John|Paul"
    rf"|(?:{alternatives(CODES)})|(?:{calendar.MONTH})\.?,?|(?:{alternatives(WEEKDAY_OF)})\.?,?|(?:{versions.VERSIONED})"
    rf"|(?:{ROMAN_AFTER}|{ROMAN_ORDINAL_AFTER})|(?:{BOOKS})"
    rf"|(?:{alternatives(UNITS)})"
    rf"|(?:hundred|thousand|million|billion|trillion)|\d*(?:[Tt]sp|[Tt]bsp|gal|qt)\.|\S*(?:ft|oz|lbs?|yd|mi|hrs?|mins?|secs?|in)\."
    rf"|[\"'“‘(]*(?:{alternatives([*TITLES, *NUMBERED, 'St'])})\.|(?:{alternatives(ABBREVIATIONS)})"
    rf"|\S*(?:{alternatives(LAST_WORDS)})|(?:[A-Za-z]\.)+|[AaPp]\.?|[AaPp][Mm]"
)
"""Words after which the next one may still matter."""

_BY_FIRST = {
    kind: [(re.compile(rule.pattern), rule.say) for rule in RULES if kind in rule.first] for kind in "A9+"
}
_PLAIN = re.compile(
    r"([0-9]+)(?:(?=\s*\Z|[.,;!?]+(?:\s|\Z))|(?<![0-9]{2})(?=\s[0-9](?![\w/⁄.,:'’-]))|(?=\s(\w++)(?![/⁄.:-])))"
)
"""A number at the end, before punctuation or before a lone digit, or with the word after it as group 2; see
`_is_alone`."""

_AFTER_NUMBER = (
    frozenset({*UNITS, *SCALES, *CODES, *MONTH_OF, "of", "a", "p", "A", "P", "x", "sq", "th"})
    | {half + "m" for half in ("a", "p", "A", "P")}
    | {"AM", "PM", "ft", "fl"}
)


def read(text: str, at: int, end: int) -> tuple[int, str] | None:
    """Apply the first rule that matches at `at`; return where it ends and what to say.

    end: match no further.
    """
    if (plain := _PLAIN.match(text, at, end)) and _is_alone(plain[2]):
        return plain.end(1), figures.count_or_code(plain)
    first = text[at]
    kind = "9" if first.isdigit() else "A" if first.isalpha() else "+"
    for pattern, say in _BY_FIRST[kind]:
        if (match := pattern.match(text, at, end)) and (said := say(match)) is not None:
            return match.end(), said
    return None


def _is_alone(following: str | None) -> bool:
    """Return whether the word after a number is unrelated to it. Most are, which skips the other rules."""
    if following is None:
        return True
    return following not in _AFTER_NUMBER and not following[0].isdigit()


def read_all(text: str) -> str:
    """A complete text with all of it read."""
    said, at = [], 0
    while (candidate := CANDIDATE.search(text, at)) is not None:
        place = candidate.start()
        end, words = read(text, place, len(text)) or (place + 1, text[place])
        said += [text[at:place], words]
        at = end
    return "".join([*said, text[at:]])
