"""Measures: a number, a range or a fraction, with its unit."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.reading import END, NUMBER, Reading, alternatives
from streaming_server.text.english.units import PER, UNITS

_UNIT = rf"({alternatives(UNITS)})"
_UNIT_END = rf"(?![\w²³^])(?:/({alternatives(PER)})(?!\w))?(?:\.(?=\s+[a-z]|[,;:)])|(\+)(?!\w))?"
_DENOMINATORS = {2: ("half", "halves"), 4: ("quarter", "quarters")}
_HOURS = (("hour", "hours"), ("minute", "minutes"), ("second", "seconds"))
_FEET = (("foot", "feet"), ("inch", "inches"), ("", ""))
_PRETTY = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
    "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip
SIGNS = "".join(_PRETTY)


def fraction(top: int, bottom: int) -> str:
    """ "three quarters", "seven sixteenths"."""
    if bottom in _DENOMINATORS:
        one, many = _DENOMINATORS[bottom]
    else:
        one = numbers.ordinal(bottom)
        many = one + "s"
    return f"{numbers.cardinal(top)} {one if top == 1 else many}"


def _measure(match: re.Match[str]) -> str:
    figure, own, last, unit, per, plus = match.groups()
    said = ("plus " if figure[0] == "+" else "") + numbers.number(figure.lstrip("+"))
    differs = own is not None and own != unit
    if differs:
        said += f" {_unit_name(own, figure)}"
    if last:
        said += f" to {numbers.number(last)}"
    name = UNITS[unit][1] if last and not differs else _unit_name(unit, last or figure)
    return f"{said} {name}" + (f" per {PER[per]}" if per else "") + (" plus" if plus else "")


def _unit_name(unit: str, figure: str) -> str:
    return UNITS[unit][0 if numbers.is_one(figure) else 1]


def _compound(match: re.Match[str]) -> str:
    """ "1h 30m", "5 ft 10 in"."""
    names = _HOURS if match[2][0] == "h" else _FEET
    said = [
        f"{numbers.number(figure)} {one if numbers.is_one(figure) else many}"
        for figure, (one, many) in zip(match.group(1, 3, 4), names, strict=True)
        if figure
    ]
    return " ".join(said)


def _feet(match: re.Match[str]) -> str:
    feet = f"{numbers.number(match[1])} foot"
    return f"{feet} {numbers.number(match[2])}" if match[2] else feet


def _fraction(match: re.Match[str]) -> str | None:
    whole, top, bottom = match[1], int(match[2]), int(match[3])
    if match[0] == "24/7":
        return "twenty-four seven"
    if top == 9 and bottom == 11:
        return "nine eleven"
    if top <= bottom and bottom in (10, 100) and not (whole or match[4]):
        return f"{numbers.cardinal(top)} out of {numbers.cardinal(bottom)}"
    if 0 < top < bottom and (bottom <= 10 or bottom in (12, 16, 32, 64, 100)):
        return _mixed(whole, top, bottom, match[4])
    if whole:
        return None
    joint = " " if top == bottom else " over " if top > bottom else " slash "
    unit = f" {UNITS[match[4]][1]}" if match[4] else ""
    return numbers.cardinal(top) + joint + numbers.cardinal(bottom) + unit


def _pretty(match: re.Match[str]) -> str:
    return _mixed(match[1], *_PRETTY[match[2]], match[3])


def _mixed(whole: str | None, top: int, bottom: int, unit: str | None) -> str:
    said = fraction(top, bottom)
    if whole and top == 1:
        said = "an eighth" if bottom == 8 else f"a {said.removeprefix('one ')}"
    if whole:
        said = f"{numbers.number(whole)} and {said}"
    return f"{said} {UNITS[unit][1 if whole else 0]}" if unit else said


READINGS = (
    Reading("9", r"(\d+)\s?(h)(?:rs?)?\s?(\d+)\s?m(?:ins?)?(?:\s?(\d+)\s?s(?:ecs?)?)?(?!\w)", _compound),
    Reading("9", r"(\d+)\s?(ft)\.?\s?(\d+)\s?in\b()(?:\.(?=\s+[a-z]|[,;:)]))?", _compound),
    Reading("9", r"(?<!['‘])(\d)['′](?:\s?(\d{1,2})[\"″”])?(?!\w)", _feet),
    Reading("9+", rf"([-−+]?{NUMBER})(?:\s?{_UNIT}?\s?[-–]\s?({NUMBER}))?[\s-]?{_UNIT}{_UNIT_END}", _measure),
    Reading("9+", rf"(?:(\d+)\s?)?([{SIGNS}])(?:\s?{_UNIT}{END})?", _pretty),
    Reading("9", rf"(?:(\d+)\s)?(\d{{1,3}})[/⁄](\d{{1,3}})(?![\w/⁄])(?!\.\d)(?:\s{_UNIT}{END})?", _fraction),
)
