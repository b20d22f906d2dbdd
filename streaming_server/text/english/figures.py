"""All other numbers: ordinals, versions, ranges, sums, and words with digits in them."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.reading import END, NUMBER, Reading

VERSIONED = "[Vv]ersion|Python|Java|Node|Node\\.js|Ubuntu|Debian|Windows|Android|iOS|macOS|PHP|Ruby|Go|Rust"
"""Words after which "3.11" is not a decimal."""
LONGEST_MIXED = 12
"""Longer words of letters and digits, such as keys and hashes, are left to the engine."""

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
}
_TERM = re.compile(rf"{NUMBER}|\*\*|[^\s\d]")
_RUN = re.compile(r"\d+(?:\.\d+)?|[^\d-]+|-")
_SUM = rf"{NUMBER}(?:\s?(?:\*\*|[+×*÷=<>^])\s?{NUMBER}|\s[-−x]\s{NUMBER})+"


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
    port = f" colon {numbers.number(match[2])}" if match[2] else ""
    return joint.join(map(numbers.number, parts)) + port


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
    terms = _TERM.findall(match[0])
    return " ".join(_OPERATORS.get(term) or numbers.number(term) for term in terms)


def _signed(match: re.Match[str]) -> str:
    return f"{'plus' if match[1] == '+' else 'minus'} {numbers.count_or_year(match[2])}"


def _sign(match: re.Match[str]) -> str:
    return f"{_SIGNS[match[0]]} "


def _number(match: re.Match[str]) -> str:
    return numbers.count_or_year(match[1]) + (" plus" if match[2] else "")


def _mixed(match: re.Match[str]) -> str | None:
    """ "MP3", "GPT-4", "COVID-19", "5G", "B2B"."""
    text = match[0]
    if len(text) > LONGEST_MIXED:
        return None
    runs = [run for run in _RUN.findall(text) if run != "-"]
    return " ".join(numbers.count_or_year(run) if run[0].isdecimal() else run for run in runs)


_PLUS = r"(\+(?![\w+]))?"

READINGS = (
    Reading("9", r"(\d{1,3}(?:,\d{3})+|\d{1,15})(?:st|nd|rd|th)(?!\w)", _ordinal),
    Reading("A", rf"[vV]\.?(\d+(?:\.\d+)*){_PLUS}(?![\w-])", _version),
    Reading("A", rf"({VERSIONED})\s(\d+(?:\.\d+)+)(?!\w)", _named_version),
    Reading("9", r"(\d+(?:\.\d+){2,})(?!\w)(?::(\d+)(?!\w))?", _dotted),
    Reading("9", rf"({NUMBER})[eE]([-+]?\d{{1,3}})(?!\w)", _scientific),
    Reading("9", rf"{_SUM}{END}", _sum),
    Reading("9", r"(\d{1,4}(?:\.\d+)?)(?:[-–]|\s–\s)(\d{1,4}(?:\.\d+)?)(?![\w-])(?!\.\d)", _range),
    Reading("9", r"(\d{1,5}):(\d{1,5})(?![\w:])", _ratio),
    Reading("+", rf"([-−+])({NUMBER}){END}", _signed),
    Reading("+", r"[±~≈<>≤≥#№§](?=[\d$£€¥])", _sign),
    Reading("9", rf"({NUMBER}){END}{_PLUS}", _number),
    Reading("A", r"([A-Za-z])(?:\^([23])|([²³]))(?!\w)", _power),
    Reading("9A", r"(?=[A-Za-z-]*\d)[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+(?![\w-])(?!\.\d)", _mixed),
)
