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
_SIGNED = {
    "-": "minus",
    "−": "minus",
    "+": "plus",
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
    return f"version {_parts(match[1])}"


def _named_version(match: re.Match[str]) -> str:
    return f"{match[1]} {_parts(match[2])}"


def _dotted(match: re.Match[str]) -> str:
    parts = match[0].split(".")
    joint = " dot " if len(parts) == 4 else " point "
    return joint.join(map(numbers.number, parts))


def _range(match: re.Match[str]) -> str:
    return f"{numbers.count_or_year(match[1])} to {numbers.count_or_year(match[2])}"


def _sum(match: re.Match[str]) -> str:
    terms = _TERM.findall(match[0])
    return " ".join(_OPERATORS.get(term) or numbers.number(term) for term in terms)


def _signed(match: re.Match[str]) -> str:
    return f"{_SIGNED[match[1]]} {numbers.count_or_year(match[2])}"


def _number(match: re.Match[str]) -> str:
    return numbers.count_or_year(match[0])


def _mixed(match: re.Match[str]) -> str | None:
    """ "MP3", "GPT-4", "COVID-19", "5G", "B2B"."""
    text = match[0]
    if len(text) > LONGEST_MIXED:
        return None
    runs = [run for run in _RUN.findall(text) if run != "-"]
    return " ".join(numbers.count_or_year(run) if run[0].isdecimal() else run for run in runs)


READINGS = (
    Reading("9", r"(\d{1,3}(?:,\d{3})+|\d{1,15})(?:st|nd|rd|th)(?!\w)", _ordinal),
    Reading("A", r"[vV]\.?(\d+(?:\.\d+)*)(?![\w-])", _version),
    Reading("A", rf"({VERSIONED})\s(\d+(?:\.\d+)+)(?!\w)", _named_version),
    Reading("9", r"\d+(?:\.\d+){2,}(?!\w)", _dotted),
    Reading("9", rf"{_SUM}{END}", _sum),
    Reading("9", r"(\d{1,4}(?:\.\d+)?)(?:[-–]|\s–\s)(\d{1,4}(?:\.\d+)?)(?![\w-])(?!\.\d)", _range),
    Reading("+", rf"([-−+±~≈<>≤≥#№§])\s?({NUMBER}){END}", _signed),
    Reading("9", rf"{NUMBER}{END}", _number),
    Reading("9A", r"(?=[A-Za-z-]*\d)[A-Za-z0-9]+(?:-?[A-Za-z0-9]+)*(?![\w-])", _mixed),
)
