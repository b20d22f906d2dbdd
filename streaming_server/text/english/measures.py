"""Measures: a number, a range or a fraction, with its unit."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.names import DIRECTIONS
from streaming_server.text.english.rule import (
    ARTICLE_BEFORE,
    END,
    NOUN_AFTER,
    NUMBER,
    Rule,
    alternatives,
    before,
    rest_of,
)
from streaming_server.text.english.units import PER, SCALES, UNITS

_UNIT = rf"({alternatives(UNITS)})"
_RATE = rf"(?:/({alternatives(PER)})(?!\w))?"
_UNIT_END = rf"(?![\w²³^]){_RATE}{_RATE}(?:\.(?=\s+[a-z]|[,;:)])|(\+)(?!\w))?"
_DENOMINATORS = {2: ("half", "halves"), 4: ("quarter", "quarters")}
_NAMED_DENOMINATORS = frozenset({*range(2, 11), 12, 15, 16, 20, 32, 40, 50, 60, 64, 100, 1000})
"""Denominators that people read as an ordinal."""
_RATED_OUT_OF = frozenset({5, 10, 20, 25, 30, 40, 50, 60, 80, 100})
_RATED_BEFORE = re.compile(
    r"\b(?:[Rr]at(?:e|ed|es|ing)|[Ss]cor(?:e|ed|es|ing)|[Gg]ot|[Gg](?:iv(?:e|es|ing|en)|ave)\s[\w']+|[Mm]arks?|[Gg]rades?|[Pp]ain)"
    r"(?:\s[\w']+){0,2}:?\s(?:an?\s)?\Z"
)
_COUNTED_BEFORE = re.compile(
    r"\b(?:[Ss]tep|[Pp]age|[Pp]art|[Ss]lide|[Qq]uestion|[Ll]evel|[Rr]ound|[Dd]ay|[Ww]eek|[Ee]pisode|[Ll]esson)\s\Z"
)
_RATED_AFTER = re.compile(r"\s(?:stars?|points?|marks?|rating|score|correct|questions|passed|tests)\b")
_HOURS = (("hour", "hours"), ("minute", "minutes"), ("second", "seconds"))
_LENGTHS = {
    "in": "inches",
    "inch": "inches",
    "inches": "inches",
    "feet": "feet",
    "foot": "feet",
    '"': "inches",
    "″": "inches",
    "'": "feet",
    "′": "feet",
}
_MARKS = {'"': "inch", "″": "inch", "'": "foot", "′": "foot"}
_TURN_AFTER = re.compile(r"\s(?:angle|turn|bend|rotation|view|heat|spin|corner|slope|arc|incline)")
_PLURALS = {"0": "zeros", "1": "ones", "10": "tens", "100": "hundreds", "1000": "thousands"}
_MINUTES = (("minute", "minutes"), ("second", "seconds"), ("", ""))
_FEET = (("foot", "feet"), ("inch", "inches"), ("", ""))
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}\Z)")
_FIGURE = rf"(?:\d{{1,3}},\d{{1,2}}(?![\d,])|{NUMBER})"
"""Also with a decimal comma: "1,5 kg"."""
_THINGS_IN_INCHES = (
    "monitor|screen|TV|television|display|laptop|tablet|pipe|tall|wide|long|deep|thick|high|x|×|by|wheels?|rims?"
    "|pizzas?|cake|pan|skillet|boards?|records?|vinyl|nails?|bolts?|screws?|hose|tires?|lens|square|round|diameter"
    "|inseam|waist|gap|of|sub|cable|fitting|hole|drill|pot|plate|rack|model|MacBook|iPad|iMac|OLED|LCD|LED"
)
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
        one = numbers.ordinal(bottom).removeprefix("one ")
        many = one + "s"
    return f"{numbers.cardinal(top)} {one if top == 1 else many}"


def _measure(match: re.Match[str]) -> str:
    figure, own, last, unit, per, further, plus = match.groups()
    figure = figure.replace("–", "-")
    figure, last = _DECIMAL_COMMA.sub(".", figure), last and _DECIMAL_COMMA.sub(".", last)
    said = ("plus " if figure[0] == "+" else "") + numbers.number(figure.lstrip("+"))
    differs = own is not None and own != unit
    if differs:
        said += f" {_unit_name(own, figure)}"
    if last:
        said += f" to {numbers.number(last)}"
    plural = last and not differs
    name = UNITS[unit][1] if plural else _unit_name(unit, "1" if _qualifies(match) else last or figure)
    return f"{said} {name}" + _rate(per) + _rate(further) + (" plus" if plus else "")


def _rate(per: str | None) -> str:
    return f" per {PER[per]}" if per else ""


def _many(match: re.Match[str]) -> str:
    """ "100s of people", "1s and 0s"."""
    return _PLURALS[match[1]]


def _qualifies(match: re.Match[str]) -> bool:
    """Return whether a measure qualifies a noun: "a 50 lb bag", "50-lb bags"."""
    if match.string[match.start(4) - 1] == "-" or (match[4] == "°" and _TURN_AFTER.match(rest_of(match))):
        return True
    if match[5] or match[7] or not NOUN_AFTER.match(rest_of(match)):
        return False
    return bool(ARTICLE_BEFORE.search(before(match)))


def _unit_name(unit: str, figure: str) -> str:
    return UNITS[unit][0 if numbers.is_one(figure) else 1]


def _compound(match: re.Match[str]) -> str:
    """ "1h 30m", "5 ft 10 in"."""
    names = {"h": _HOURS, "m": _MINUTES}.get(match[2][0], _FEET)
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
    if match[0] == "9/11":
        return "nine eleven"
    if rest_of(match).startswith("="):
        return None
    if _COUNTED_BEFORE.search(before(match)):
        return f"{numbers.cardinal(top)} of {numbers.cardinal(bottom)}"
    if not (whole or match[4]) and top <= bottom and _is_rating(match, top, bottom):
        return f"{numbers.cardinal(top)} out of {numbers.cardinal(bottom)}"
    if 0 < top < bottom and bottom in _NAMED_DENOMINATORS:
        return _mixed(whole, top, bottom, match[4])
    if whole:
        return None
    joint = " " if top == bottom or (top + bottom == 100 and top % 10 == 0) else " over "
    unit = f" {UNITS[match[4]][1]}" if match[4] else ""
    return numbers.cardinal(top) + joint + numbers.cardinal(bottom) + unit


def _is_rating(match: re.Match[str], top: int, bottom: int) -> bool:
    """ "8/10", "4/5 stars", "scored 18/20"; not "1/10 of them" or "4/5"."""
    rest = rest_of(match)
    if rest.startswith(" of "):
        return False
    if _RATED_AFTER.match(rest) or (bottom in _RATED_OUT_OF and _RATED_BEFORE.search(before(match))):
        return True
    return top == bottom < 20 or top == 0 or (bottom in (10, 100) and top > 1)


def _fraction_with_ending(match: re.Match[str]) -> str | None:
    """ "2/3rds"."""
    top, bottom = int(match[1]), int(match[2])
    return fraction(top, bottom) if 0 < top < bottom else None


def _spaced_fraction(match: re.Match[str]) -> str:
    """ "10 / 5", a division or a pair of values."""
    return f"{numbers.number(match[1])} over {numbers.number(match[2])}"


def _signed_fraction(match: re.Match[str]) -> str | None:
    """ "-1/2"."""
    top, bottom = int(match[2]), int(match[3])
    said = (
        fraction(top, bottom)
        if 0 < top < bottom
        else f"{numbers.cardinal(top)} over {numbers.cardinal(bottom)}"
    )
    return f"{'plus' if match[1] == '+' else 'minus'} {said}"


def _inches(match: re.Match[str]) -> str:
    """'27" monitor', '5/8" bolt', "3''"."""
    whole, top, bottom, figure = match[1], match[2], match[3], match[4]
    single = match[5] is not None or figure is None or numbers.is_one(figure)
    said = numbers.number(figure) if figure else _mixed(whole, int(top), int(bottom), None)
    return f"{said} {'inch' if single else 'inches'}"


def _bearing(match: re.Match[str]) -> str:
    """ "40.7° N"."""
    return f"{numbers.number(match[1])} degrees {DIRECTIONS[match[2]]}"


def _frequency(match: re.Match[str]) -> str:
    """ "3/day", "75k/yr"."""
    scale = f" {SCALES[match[2]]}" if match[2] else ""
    return f"{numbers.number(match[1])}{scale} per {PER[match[3]]}"


def _dimensions(match: re.Match[str]) -> str:
    """ "10 x 20 x 30 cm"."""
    figures = " by ".join(map(numbers.number, re.findall(NUMBER, match[1])))
    unit = match[2].rstrip(".")
    if unit in _MARKS and re.match(r"\s[a-z]", rest_of(match)):
        return f"{figures} {_MARKS[unit]}"
    return f"{figures} {_LENGTHS.get(unit) or UNITS[unit][1]}"


def _pretty(match: re.Match[str]) -> str:
    return _mixed(match[1], *_PRETTY[match[2]], match[3])


def _mixed(whole: str | None, top: int, bottom: int, unit: str | None) -> str:
    said = fraction(top, bottom)
    if whole and top == 1:
        said = "an eighth" if bottom == 8 else f"a {said.removeprefix('one ')}"
    if whole:
        said = f"{numbers.number(whole)} and {said}"
    return f"{said} {UNITS[unit][1 if whole else 0]}" if unit else said


_DIMENSION = (
    rf"(?:km|cm|mm|m|mi|yd|ft|px|nm|µm){END}|inch(?:es)?\b|feet\b|foot\b|[\"″'′](?!\w)"
    r"|in\b\.?(?=\s*(?:[,;:.)]|\Z)|\s(?:paper|photo|print|frame|card|pan|dish)\b)"
)

RULES = (
    Rule("9", r"(10{1,3})s(?=\sof\b)", _many),
    Rule("9", r"([01])s(?=\s(?:and|or)\b)", _many),
    Rule("9", r"(?<=[01]s and )([01])s(?!\w)", _many),
    Rule("9", r"(\d+)\s?(h)(?:rs?)?\s?(\d+)\s?m(?:ins?)?(?:\s?(\d+)\s?s(?:ecs?)?)?(?!\w)", _compound),
    Rule("9", r"(\d+)\s?(m)(?:ins?)?\s?(\d+)\s?s(?:ecs?)?()(?!\w)", _compound),
    Rule("9", r"(\d+)\s?(ft)\.?\s?(\d+)\s?in\b()(?:\.(?=\s+[a-z]|[,;:)]))?", _compound),
    Rule(
        "9",
        r"(?<!['‘])(\d)['′](?!')(?:\s?(\d{1,2})(?:[\"″”]|''|(?=\s(?:tall|and|or)\b|[.,)]|\Z)))?(?!\w)",
        _feet,
    ),
    Rule("9", rf"({NUMBER})°\s?([NSEW])(?!\w)", _bearing),
    Rule(
        "9", rf"({NUMBER})([kKM]?)/({alternatives(unit for unit in PER if len(unit) > 1)}){END}", _frequency
    ),
    Rule("9", rf"({NUMBER}(?:\s?[\"″'′]?\s?[x×X]\s?{NUMBER})+)\s?({_DIMENSION})", _dimensions),
    Rule("9+", rf"([-−–+]?{_FIGURE})(?:\s?{_UNIT}?\s?[-–]\s?({_FIGURE}))?[\s-]?{_UNIT}{_UNIT_END}", _measure),
    Rule(
        "9",
        rf"(?:(?:(\d+) )?(\d{{1,2}})/([1-9]\d?)|(\d{{1,3}}(?:\.\d+)?))"
        rf"(?:(?:[\"″]|'')(?=[\s-]?({_THINGS_IN_INCHES})\b)|″|''(?!\w))",
        _inches,
    ),
    Rule("9+", rf"(?:(\d+)\s?)?([{SIGNS}])(?:\s?{_UNIT}{END})?", _pretty),
    Rule(
        "9",
        rf"(?:(\d+)\s)?(\d{{1,3}})[/⁄](\d{{1,3}}|1000)(?![\w/⁄])(?!\.\d)(?:\s?{_UNIT}{END})?",
        _fraction,
    ),
    Rule("9", r"(\d{1,3})[/⁄](\d{1,3})(?:rd|th|nd|st)s?(?!\w)", _fraction_with_ending),
    Rule("+", r"([-−+])(\d{1,3})/(\d{1,3})(?![\w/])(?!\.\d)", _signed_fraction),
    Rule("9", r"(\d+\.\d+)/(?=\d+\.\d)", lambda match: f"{numbers.number(match[1])} over "),
    Rule("9", rf"({NUMBER})\s/\s({NUMBER}){END}(?!\s?[/=])", _spaced_fraction),
)
