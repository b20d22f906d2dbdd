"""Telephone numbers, read digit by digit in their groups."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.rule import Rule, before, rest_of

_GROUP = re.compile(r"\d+|[A-Z]+")
_FEWEST_DIGITS, _MOST_DIGITS = 7, 15
"""Digits of a telephone number, by the ITU's recommendation E.164."""
_LONGEST_GROUP = 8
"""Digits that are read without a break."""
_SHORT = ("000", "101", "111", "112", "118", "311", "411", "511", "811", "988", "999")
"""Numbers of emergency and directory services."""
_CALL_BEFORE = re.compile(
    rf"\b(?:[Dd]ial|[Cc]all|[Rr]ing|[Tt]ext|[Pp]hone)(?:ing|ed)?(?:\s(?:{'|'.join(_SHORT)}),?\s(?:or|and))?\s\Z"
)
_NO_NOUN = re.compile(r"\s*(?:[^\w\s]|\Z)|\s(?:or|and|for|if|in|immediately|now|right|to|when|on|from|at)\b")


def _telephone(match: re.Match[str]) -> str:
    groups = [part for group in _GROUP.findall(match[0]) for part in _parts(group)]
    said = ", ".join(map(_group, groups))
    return f"plus {said}" if match[0][0] == "+" else said


def _parts(group: str) -> list[str]:
    """Cut a long group: "14155552671" → 1 415 555 2671, others by threes."""
    if len(group) <= _LONGEST_GROUP or not group.isdecimal():
        return [group]
    if len(group) == 11 and group[0] == "1":
        return ["1", group[1:4], group[4:7], group[7:]]
    if len(group) == 10:
        return [group[:3], group[3:6], group[6:]]
    return re.findall(r"\d{3}(?!\d\Z)|\d+", group)


def _group(group: str) -> str:
    if not group.isdecimal():
        return group
    return "eight hundred" if group == "800" else numbers.digits(group)


def _grouped_anyhow(match: re.Match[str]) -> str | None:
    """A number in any country's groups, by its number of digits."""
    digits = sum(character.isdecimal() for character in match[0])
    return _telephone(match) if _FEWEST_DIGITS <= digits <= _MOST_DIGITS else None


def lone_number(match: re.Match[str]) -> str | None:
    """Return an ungrouped number read as a telephone number, or None if it is not one.

    match[1]: its digits.
    """
    digits = match[1]
    if digits in _SHORT:
        calls = _CALL_BEFORE.search(before(match)) and _NO_NOUN.match(rest_of(match))
        return numbers.digits(digits) if calls else None
    if not 10 <= len(digits) <= _MOST_DIGITS or digits.endswith("000"):
        return None
    return ", ".join(map(numbers.digits, _parts(digits)))


_SEPARATOR = r"[ \u00a0./-]"
_END = r"(?![\w-])(?<=\d)"

RULES = (
    Rule("+", rf"\+\d{{1,3}}(?:{_SEPARATOR}?\(?\d{{1,8}}\)?){{1,7}}{_END}", _grouped_anyhow),
    Rule("9+", r"(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])", _telephone),
    Rule("9", r"\d{3}-\d{4}(?![\w-])", _telephone),
    Rule("9", r"\d{4}(?:[ -]\d{4}){2,}(?:[ -]\d{1,4})?(?![\w-])", _telephone),
    Rule("9", rf"0[1-9](?:[ .]\d\d){{4}}{_END}", _telephone),
    Rule(
        "9+",
        rf"(?:\(0\d{{2,5}}\) ?|\(0\) ?\d{{2,5}} |0\d{{2,5}}[ /-])\d{{2,8}}(?:[ -]\d{{2,4}}){{0,3}}{_END}",
        _grouped_anyhow,
    ),
    Rule("9", rf"1[389]00 \d{{3}} \d{{3}}{_END}", _telephone),
    Rule("9", r"\d{5}-\d{4}(?![\w-])", _telephone),
    Rule("9", r"1-\d{3}(?:-(?:[A-Z]+|\d+))+(?![\w-])", _telephone),
    Rule(
        "9",
        r"(?!\d{4}-\d\d?-\d\d?(?![\w-])|\d\d?-\d\d?-(?:19|20)\d\d(?![\w-]))\d+(?:-\d+){2,}(?![\w-])",
        _telephone,
    ),
)
