"""LaTeX formulas, as language models write them, read in English."""

from __future__ import annotations

import regex

from streaming_server.text.cursor import Construct, Cursor
from streaming_server.text.english.rules import read_all
from streaming_server.text.items import replacement

_BODY = r"(?:[^$\n.?\\]|[.?](?=\S|\s?(?:\$|\\[)\]]))|\n(?![ \t]*+\n)|\\[^)\]])"
_FORMULA = regex.compile(
    rf"\$\$(?=[^$])({_BODY}++)\$\$(?=[^$])|\\\(({_BODY}++)\\\)|\\\[({_BODY}++)\\\]"
    r"|\$(?=[^\s\d]|\d+[\\^_xyzn])((?:[^$\n.?\"]|[.?](?=\S)){1,101})(?<=\S)\$(?=[^\d$])",
)
"""It ends with its sentence or paragraph, so that text with "$AAPL" or "$$" in it is not held back."""
LONGEST = 400
"""Longest formula, in code points."""

_WORDS = {
    "times": "times", "cdot": "times", "div": "divided by", "pm": "plus or minus", "mp": "minus or plus",
    "leq": "is at most", "le": "is at most", "geq": "is at least", "ge": "is at least",
    "neq": "is not equal to", "ne": "is not equal to", "approx": "is about",
    "equiv": "is equivalent to", "sim": "is similar to",
    "infty": "infinity", "int": "the integral", "sum": "the sum", "prod": "the product", "lim": "the limit",
    "rightarrow": "to", "Rightarrow": "implies", "forall": "for all", "exists": "there is",
    "circ": "degrees", "degree": "degrees",
    "ldots": "and so on", "dots": "and so on", "cdots": "and so on", "log": "log", "ln": "natural log",
    "sin": "sine", "cos": "cosine", "tan": "tangent", "cup": "union", "cap": "intersection",
    "subset": "subset of",
}  # fmt: skip
_PLAIN = frozenset({
    "left", "right", "text", "mathrm", "mathbf", "mathbb", "mathcal", "quad", "qquad", "displaystyle",
    "begin", "end", "operatorname", "boxed", "limits", "vec", "hat", "bar", "overline", "big", "Big", "label",
})  # fmt: skip
_SIGNS = {
    "=": "equals", "+": "plus", "-": "minus", "*": "times", "/": "over", "<": "is less than",
    ">": "is greater than", "!": "factorial", "\\%": "percent", "\\\\": ",", "'": "prime",
}  # fmt: skip
_GROUP = r"\{((?:[^{}]++|\{[^{}]*+\})*+)\}"
_FRACTION = regex.compile(rf"\\[dt]?frac\s*+{_GROUP}\s*+{_GROUP}")
_ROOT = regex.compile(rf"\\sqrt\s*+(?:\[[^\]]*+\])?+{_GROUP}")
_RAISED = regex.compile(rf"\^\s*+(?:{_GROUP}|(\\?\w++|\*))")
_LOWERED = regex.compile(rf"_\s*+(?:{_GROUP}|(\\?\w))")
_OVER_RANGE = regex.compile(rf"\\(int|sum|prod)_(?:{_GROUP}|(\w))\^(?:{_GROUP}|(\\?\w++))")
_TOKEN = regex.compile(r"\\([A-Za-z]++)|\\[\\%]|\d[\d.,]*+|[A-Za-z]++|[^\s\\{}&~$]")
_DEEPEST = 6


def formula(cursor: Cursor) -> Construct | None:
    """`$…$`, `$$…$$`, `\\(…\\)` or `\\[…\\]`; prices such as "$5 and $10" are text."""
    match = cursor.match(_FORMULA, LONGEST) if cursor.style.english else None
    if match is None:
        return None
    group = match.lastindex or 1
    start, end = cursor.offset + match.start(group), cursor.offset + match.end(group)
    spoken = read_formula(match[group])
    return Construct(match.end(), (replacement(read_all(spoken), start, end),) if spoken else ())


def read_formula(text: str) -> str:
    """Return a formula in words, its figures as they are."""
    for _ in range(_DEEPEST):
        text = _OVER_RANGE.sub(_over_range, text)
        text = _FRACTION.sub(r" \1 / \2 ", text)
        text = _ROOT.sub(r" the square root of \1 ", text)
        text = _RAISED.sub(_power, text)
        text = _LOWERED.sub(_index, text)
    return " ".join(filter(None, map(_word, _TOKEN.finditer(text)))).replace(" ,", ",")


def _over_range(match: regex.Match[str]) -> str:
    low, high = match[2] or match[3] or "", match[4] or match[5] or ""
    return f"\\{match[1]} from {low} to {high} of "


def _power(match: regex.Match[str]) -> str:
    exponent: str = match[1] or match[2] or ""
    if not exponent:
        return " "
    if exponent in ("\\circ", "2", "3"):
        return {"2": " squared ", "3": " cubed "}.get(exponent, " degrees ")
    return f" to the power of {exponent} "


def _index(match: regex.Match[str]) -> str:
    index: str = match[1] or match[2] or ""
    return f" sub {index} " if index else " "


def _word(match: regex.Match[str]) -> str:
    command: str | None = match[1]
    if command is None:
        return _SIGNS.get(match[0], str(match[0]))
    return "" if command in _PLAIN else _WORDS.get(command, command)
