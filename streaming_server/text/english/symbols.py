"""Signs that stand alone or between words."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.rule import END, NUMBER, Rule, alternatives, before, letters, rest_of

_ALONE = {
    "&": "and",
    "@": "at",
    "%": "percent",
    "=": "equals",
    "==": "equals",
    "!=": "is not equal to",
    "≠": "is not equal to",
    "≈": "is about",
    "+": "plus",
    "×": "times",
    "÷": "divided by",
    "===": "equals",
    "<=": "is at most",
    ">=": "is at least",
    "<": "is less than",
    ">": "is greater than",
    "≤": "is at most",
    "≥": "is at least",
    "→": "to",
    "->": "to",
    "=>": "to",
    "⇒": "to",
    "<-": "from",
    "←": "from",
    "∞": "infinity",
    "§": "section",
    "№": "number",
    "©": "copyright",
    "~": "about",
    "&&": "and",
    "||": "or",
    "|": ",",
    "−": "minus",
    "+/-": "plus or minus",
    "+/−": "plus or minus",
}


_WORD_BEFORE = re.compile(r"[a-z]{2}[\"'”’]?\s\Z")
_WORD_AFTER = re.compile(r"\s[\"'“‘]?[A-Z]")
_TERM_BEFORE = re.compile(r"(?:\A|[\s(])(?:[a-zA-Z]|\S*[\d)!])\s\Z")
_POWER_BEFORE = re.compile(r"(?:[²³]|(?:\A|[\s(])\d+[a-z])\s\Z")
_TERM_AFTER = re.compile(r"\s(?:[a-z]\b|[\d(])")
_KEYS = {"Ctrl": "Control", "Cmd": "Command", "Esc": "Escape", "Del": "Delete"}


def _keys(match: re.Match[str]) -> str:
    """ "Ctrl+Shift+P"."""
    return " ".join(_KEYS.get(key, key) for key in re.split("[+-]", match[0]))


def _alone(match: re.Match[str]) -> str:
    """ "Settings > Privacy" is a way through menus."""
    if match[0] == ">" and _WORD_BEFORE.search(before(match)) and _WORD_AFTER.match(rest_of(match)):
        return ","
    return _ALONE[match[0]]


def _with_figures(text: str) -> str:
    """ "name1" → "name one"."""
    return " ".join(
        numbers.number(run) if run.isdecimal() else run for run in re.findall(r"[0-9]+|[^0-9]+", text)
    )


def _tolerance(match: re.Match[str]) -> str:
    """ "+/-5%"."""
    return f"plus or minus {numbers.number(match[1])}{' percent' if match[2] else ''}"


def _handle(match: re.Match[str]) -> str:
    """ "@user_name1"."""
    return "at " + " underscore ".join(map(_with_figures, filter(None, match[1].split("_"))))


def _dashes(match: re.Match[str]) -> str:
    """ "--force"; but "(-b" is minus b."""
    return "minus " if match[0] == "-" and before(match).endswith("(") else "dash " * len(match[0])


def _letters(match: re.Match[str]) -> str:
    """ "AT&T", "R&D"."""
    return " and ".join(map(letters, match[0].split("&")))


def _slash(match: re.Match[str]) -> str:
    """ "y / z" is a division, "morning / evening" a choice."""
    return "over" if _TERM_BEFORE.search(before(match)) and _TERM_AFTER.match(rest_of(match)) else ","


def _minus(match: re.Match[str]) -> str | None:
    """ "3x - 5"."""
    return "minus" if _POWER_BEFORE.search(before(match)) else None


def _star(match: re.Match[str]) -> str | None:
    """ "(3 + 4) * 2", "a * b"."""
    return "times" if _TERM_BEFORE.search(before(match)) else None


RULES = (
    Rule("A", r"(?:Ctrl|Cmd|Alt|Shift|Option|Win|Super|Fn)(?:[+-][A-Z][a-z]*)+(?![\w+-])", _keys),
    Rule("+", r"#(?=\d*[A-Za-z])", lambda match: "hashtag "),
    Rule("+", r"@(\w+_\w+)", _handle),
    Rule("+", r"@(?=\w)", lambda match: "at "),
    Rule("+", r"--(?=[a-z])|-(?=[A-Za-z](?!\w))", _dashes),
    Rule("+", rf"(?:{alternatives(_ALONE)})(?!\S)", _alone),
    Rule("+", rf"\+/[-−]\s?({NUMBER}){END}(%)?", _tolerance),
    Rule("+", r"/(?=\s)", _slash),
    Rule("+", r"-(?=\s\d*[a-z](?!\w)|\s\d)", _minus),
    Rule("+", r"\*(?=\s[\w(])", _star),
    Rule("A", r"[A-Z]{1,3}&[A-Z]{1,3}(?!\w)", _letters),
)
