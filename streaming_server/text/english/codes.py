"""Hexadecimal digits, read one by one: addresses of hardware and networks, hashes and colours."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.rule import Rule


def _hardware(match: re.Match[str]) -> str:
    """ "fe80::1"."""
    said = " ".join(
        " colon " if part == ":" else numbers.spelled(part) for part in re.findall("[:]|[^:-]+", match[0])
    )
    return " ".join(said.split())


def _pairs(match: re.Match[str]) -> str:
    """ "00:1A:2B:3C:4D:5E"."""
    return ", ".join(map(numbers.spelled, re.split("[:-]", match[0])))


def _commit(match: re.Match[str]) -> str:
    """ "3f2a1bc"."""
    return numbers.spelled(match[0])


RULES = (
    Rule("9A", r"[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])", _pairs),
    Rule("9A+", r"(?=[0-9a-f:]*::)(?=[a-f:]*\d)(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", _hardware),
    Rule(
        "9A",
        r"(?=\d+[a-f]+\d|[a-f]+\d+[a-f])[0-9a-f]{7,10}(?!\w)",
        _commit,
    ),
    Rule("9", r"0x([0-9A-Fa-f]{1,16})(?!\w)", lambda match: f"zero X {numbers.spelled(match[1])}"),
    Rule(
        "+",
        r"#(?=\w*[A-Fa-f])(?=\w*\d)([0-9A-Fa-f]{6})(?!\w)",
        lambda match: f"hash {numbers.spelled(match[1])}",
    ),
)
