"""Telephone numbers, read digit by digit in their groups."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.reading import Reading

_GROUP = re.compile(r"\d+|[A-Z]+")


def _telephone(match: re.Match[str]) -> str:
    groups = _GROUP.findall(match[0])
    said = ", ".join(map(_group, groups))
    return f"plus {said}" if match[0][0] == "+" else said


def _group(group: str) -> str:
    if not group.isdecimal():
        return group
    return "eight hundred" if group == "800" else numbers.digits(group)


READINGS = (
    Reading("+", r"\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}(?![\w-])(?<=\d)", _telephone),
    Reading("9+", r"(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])", _telephone),
    Reading("9", r"\d{3}-\d{4}(?![\w-])", _telephone),
    Reading("9", r"\d{4}(?:[ -]\d{4}){2,}(?:[ -]\d{1,4})?(?![\w-])", _telephone),
    Reading("9", r"0\d{2,4}(?:[ -]\d{3,4}){1,3}(?![\w-])", _telephone),
    Reading("9", r"1-\d{3}(?:-(?:[A-Z]+|\d+))+(?![\w-])", _telephone),
    Reading("9", r"(?!\d{4}-\d\d-\d\d(?!\w))\d+(?:-\d+){2,}(?![\w-])", _telephone),
)
