"""Numbers with several points: versions, IP addresses and groups of digits."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.rule import PLUS, Rule, alternatives

VERSIONED = "[Vv]ersion|Python|Java|Node|Node\\.js|Ubuntu|Debian|Windows|Android|iOS|macOS|PHP|Ruby|Go|Rust"
"""Words after which "3.11" is not a decimal."""

_STAGES = {
    "rc": "R C",
    "alpha": "alpha",
    "beta": "beta",
    "dev": "dev",
    "pre": "pre",
    "preview": "preview",
} | {"snapshot": "snapshot", "next": "next", "canary": "canary", "a": "alpha", "b": "beta", "post": "post"}
_STAGE = rf"(?:-?(?:{alternatives(_STAGES)})[.-]?\d*)"


def _grouped_by_points(match: re.Match[str]) -> str:
    """ "1.234.567"."""
    return numbers.number(match[0].replace(".", ""))


def _parts(text: str) -> str:
    return " point ".join(map(numbers.number, text.split(".")))


def _version(match: re.Match[str]) -> str:
    return f"version {_parts(match[1])}{_stage(match[2])}{' plus' if match[3] else ''}"


def _staged(match: re.Match[str]) -> str:
    """ "2.0.0-rc.1"."""
    return _parts(match[1]) + _stage(match[2])


def _stage(suffix: str | None) -> str:
    """ "-rc.1" → " R C one"."""
    return "".join(
        f" {_STAGES.get(part) or numbers.number(part)}" for part in re.findall(r"[a-z]+|\d+", suffix or "")
    )


def _named_version(match: re.Match[str]) -> str:
    return f"{match[1]} {_parts(match[2])}"


def _dotted(match: re.Match[str]) -> str:
    """A version or an IP address, with its port."""
    parts = match[1].split(".")
    joint = " dot " if len(parts) == 4 else " point "
    sign = " colon " if match[2] == ":" else " slash "
    return joint.join(map(numbers.number, parts)) + (sign + numbers.number(match[3]) if match[3] else "")


RULES = (
    Rule("9", r"[1-9]\d{0,2}\.\d{3}\.\d{3}(?![\w.])", _grouped_by_points),
    Rule("A", rf"[vV]\.?(\d+(?:\.\d+)*)({_STAGE})?{PLUS}(?![\w-])", _version),
    Rule("9", rf"(\d+(?:\.\d+)+)({_STAGE})(?![\w.-])", _staged),
    Rule("A", rf"({VERSIONED})\s(\d+(?:\.\d+)+)(?!\w)", _named_version),
    Rule("9", r"(\d+(?:\.\d+){2,})(?!\w)(?:([:/])(\d+)(?!\w))?", _dotted),
)
