"""All other numbers: ordinals, versions, ranges, sums, and words with digits in them."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.reading import END, NUMBER, Reading, before, rest_of
from streaming_server.text.english.units import SCALES

VERSIONED = "[Vv]ersion|Python|Java|Node|Node\\.js|Ubuntu|Debian|Windows|Android|iOS|macOS|PHP|Ruby|Go|Rust"
"""Words after which "3.11" is not a decimal."""
LONGEST_MIXED = 12
"""Longer runs of letters and digits, such as keys and hashes, are left to the engine."""

_OPERATORS = {
    "+": "plus",
    "-": "minus",
    "−": "minus",
    "*": "times",
    "×": "times",
    "x": "times",
    "÷": "divided by",
    "/": "divided by",
    "=": "equals",
    "<": "is less than",
    ">": "is greater than",
    "^": "to the power of",
    "**": "to the power of",
    "±": "plus or minus",
    "<=": "is at most",
    ">=": "is at least",
    "!=": "is not equal to",
    "≤": "is at most",
    "≥": "is at least",
    "≠": "is not equal to",
    "≈": "is about",
    "²": "squared",
    "³": "cubed",
}
_SIGNS = {
    "±": "plus or minus",
    "~": "about",
    "≈": "about",
    "<": "less than",
    ">": "more than",
    "≤": "at most",
    "≥": "at least",
    "#": "number",
    "№": "number",
    "§": "section",
    "§§": "sections",
    "√": "the square root of",
    "©": "copyright",
}
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"
_DIGITS = str.maketrans(SUPERSCRIPTS + SUBSCRIPTS, "0123456789-" + "0123456789")
_RAISED = re.compile(f"[{SUPERSCRIPTS}]+")
_POWER = re.compile(r"\s?(?:\*\*|\^)\s?([23])(?![\d.])")
_TERM = re.compile(rf"{NUMBER}|\*\*|[<>!]=|[^\s\d]")
_RUN = re.compile(r"\d+(?:\.\d+)?|[^\d-]+|-")
_FACTOR = rf"{NUMBER}[{SUPERSCRIPTS}]*"
_SUM = (
    rf"{_FACTOR}(?:\s?(?:\*\*|\^[-−]?|[<>!]=|[+×*÷=<>±≤≥≠≈])\s?{_FACTOR}|\s[-−x]\s{_FACTOR})+"
    rf"|{NUMBER}(?:[-−+×*÷/]{NUMBER})+\s?=\s?{NUMBER}|{NUMBER}[{SUPERSCRIPTS}]+"
)
_CODE_BEFORE = re.compile(
    r"\b(?:codes?|PIN|pin|ZIP|[Zz]ip|OTP|[Pp]asscode|[Pp]assword|[Ee]nding in|[Ee]xt(?:ension|\.)?)"
    r"(?:\s(?:code|number|is|was))?:?\s\Z"
)
"""Words after which a number is read digit by digit."""
_COUNTED = re.compile(r"\s(?:lines?|words?|characters?|bytes?|bits?|files?|pages?|times|percent)\b")
"""Pattern of a noun that makes a number a count even after those words: "The code is 500 lines long"."""


def _ordinal(match: re.Match[str]) -> str:
    return numbers.ordinal(int(match[1].replace(",", "")))


def _parts(text: str) -> str:
    return " point ".join(map(numbers.number, text.split(".")))


def _version(match: re.Match[str]) -> str:
    return f"version {_parts(match[1])}{' plus' if match[2] else ''}"


def _named_version(match: re.Match[str]) -> str:
    return f"{match[1]} {_parts(match[2])}"


def _dotted(match: re.Match[str]) -> str:
    """A version or an IP address, with its port."""
    parts = match[1].split(".")
    joint = " dot " if len(parts) == 4 else " point "
    sign = " colon " if match[2] == ":" else " slash "
    return joint.join(map(numbers.number, parts)) + (sign + numbers.number(match[3]) if match[3] else "")


def _ratio(match: re.Match[str]) -> str:
    """ "16:9" is a ratio, "8080:80" is not."""
    first, last = match[1], match[2]
    joint = "to" if len(first) < 3 and len(last) < 3 else "colon"
    return f"{numbers.number(first)} {joint} {numbers.number(last)}"


def _scientific(match: re.Match[str]) -> str:
    return f"{numbers.number(match[1])} times ten to the power of {numbers.number(match[2].lstrip('+'))}"


def _power(match: re.Match[str]) -> str:
    return f"{match[1]} {'squared' if (match[2] or match[3]) in '2²' else 'cubed'}"


def _range(match: re.Match[str]) -> str:
    return f"{numbers.count_or_year(match[1])} to {numbers.count_or_year(match[2])}"


def _sum(match: re.Match[str]) -> str:
    text = _RAISED.sub(lambda power: "^" + power[0].translate(_DIGITS), match[0])
    terms = _TERM.findall(_POWER.sub(lambda power: "²³"[power[1] == "3"], text))
    return " ".join(_OPERATORS.get(term) or numbers.number(term) for term in terms)


def _signed(match: re.Match[str]) -> str:
    return f"{'plus' if match[1] == '+' else 'minus'} {numbers.count_or_year(match[2])}"


def _sign(match: re.Match[str]) -> str:
    return f"{_SIGNS[match[0].strip()]} "


def _number(match: re.Match[str]) -> str:
    return count_or_code(match) + (" plus" if match[2] else "")


def count_or_code(match: re.Match[str]) -> str:
    """A number, or its digits where it is a code."""
    return numbers.digits(match[1]) if _is_code(match) else numbers.count_or_year(match[1])


def _is_code(match: re.Match[str]) -> bool:
    if len(match[1]) < 3 or not match[1].isdecimal() or _COUNTED.match(rest_of(match)):
        return False
    return _CODE_BEFORE.search(before(match)) is not None


def _times(match: re.Match[str]) -> str:
    return f"{numbers.number(match[1])} times"


def _size(match: re.Match[str]) -> str:
    """ "4x4", "1920x1080"."""
    return " by ".join(map(_in_pairs, re.split("[xX]", match[0])))


def _lines(match: re.Match[str]) -> str:
    """ "1080p"."""
    return f"{_in_pairs(match[1])} p"


def _in_pairs(text: str) -> str:
    """ "1080" → "ten eighty"."""
    high, low = divmod(int(text), 100)
    return f"{numbers.cardinal(high)} {numbers.cardinal(low)}" if high and low > 9 else numbers.number(text)


def _scaled(match: re.Match[str]) -> str:
    """ "2.3B", "5M"."""
    return f"{numbers.number(match[1])} {SCALES[match[2]]}{' plus' if match[3] else ''}"


def _between(match: re.Match[str]) -> str:
    """ "2-for-1"."""
    return numbers.number(match[1]) + match[2] + numbers.number(match[3])


def _plan(match: re.Match[str]) -> str:
    """ "401(k)"."""
    return f"{numbers.digits(match[1]).replace('zero', 'oh')} {match[2]}"


def _mixed(match: re.Match[str]) -> str | None:
    """ "MP3", "GPT-4", "COVID-19", "5G", "B2B"."""
    text = match[0].translate(_DIGITS)
    if max(map(len, text.split("-"))) > LONGEST_MIXED or len(text) > 2 * LONGEST_MIXED:
        return None
    runs = [run for run in _RUN.findall(text) if run != "-"]
    return " ".join(numbers.count_or_year(run) if run[0].isdecimal() else run for run in runs)


_PLUS = r"(\+(?![\w+]))?"

READINGS = (
    Reading("9", r"(\d{1,3}(?:,\d{3})+|\d{1,15})(?:st|nd|rd|th)(?!\w)", _ordinal),
    Reading("A", rf"[vV]\.?(\d+(?:\.\d+)*){_PLUS}(?![\w-])", _version),
    Reading("A", rf"({VERSIONED})\s(\d+(?:\.\d+)+)(?!\w)", _named_version),
    Reading("9", r"(\d+(?:\.\d+){2,})(?!\w)(?:([:/])(\d+)(?!\w))?", _dotted),
    Reading("9", r"0x([0-9A-Fa-f]{1,16})(?!\w)", lambda match: f"zero X {numbers.spelled(match[1])}"),
    Reading(
        "+",
        r"#(?=\w*[A-Fa-f])(?=\w*\d)([0-9A-Fa-f]{6})(?!\w)",
        lambda match: f"hash {numbers.spelled(match[1])}",
    ),
    Reading("9", rf"({NUMBER})[eE]([-+]?\d{{1,3}})(?!\w)", _scientific),
    Reading("9", rf"(?:{_SUM}){END}", _sum),
    Reading("9", r"(\d{1,5})(?:[xX]\d{1,5}){1,2}(?!\w)", _size),
    Reading("9", r"(\d{3,4})p(?!\w)", _lines),
    Reading("9", rf"({NUMBER})[xX](?![\w-])(?!\s?[-−+*/=^])", _times),
    Reading("9", rf"(\d+\.\d+(?=[kKMBT])|\d+(?=[MT]|bn|mn))([kKMBT]|bn|mn){_PLUS}(?!\w)", _scaled),
    Reading("9", r"(\d+)((?:-[A-Za-z]+)+-)(\d+)(?![\w-])", _between),
    Reading("9", r"(\d{3})\(([a-z])\)", _plan),
    Reading("9", r"(\d{1,4}(?:\.\d+)?)(?:[-–]|\s–\s)(\d{1,4}(?:\.\d+)?)(?![\w-])(?!\.\d)", _range),
    Reading("9", r"(\d{1,5}):(\d{1,5})(?![\w:])", _ratio),
    Reading("+", rf"([-−+])({NUMBER}){END}", _signed),
    Reading("+", r"#(?=\d)(?!\d+[A-Za-z])|[±~≈<>≤≥√](?=[\d$£€¥]|\.\d)|(?:[№©]|§{1,2})\s?(?=\d)", _sign),
    Reading("9+", rf"({NUMBER}){END}{_PLUS}", _number),
    Reading("A", r"([A-Za-z]{1,2})(?:\^([23])|([²³]))(?!\w)", _power),
    Reading(
        "9A",
        rf"(?=[A-Za-z-]*[\d{SUBSCRIPTS}])[A-Za-z0-9{SUBSCRIPTS}]++(?:\.\d++)?+"
        r"(?:-[A-Za-z0-9]++(?:\.\d++)?+)*+(?![\w-])(?!\.\d)",
        _mixed,
    ),
)
