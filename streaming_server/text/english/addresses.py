"""Web addresses, e-mail addresses and file names."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.rule import Rule

_ENDINGS = (
    "com|org|net|edu|gov|mil|int|io|ai|co|uk|de|fr|eu|us|ca|au|jp|ch|at|it|es|nl|se|no|dk|pl|ru|cn|in|br"
    "|dev|app|info|biz|me|tv|fm|gg|ly|xyz|tech|cloud|online|site|store|blog|wiki"
    "|py|js|ts|[jt]sx|md|txt|json|conf|ya?ml|toml|html?|css|csv|tsv|pdf|docx?|xlsx?|pptx?|exe|zip|gz|tar|png|jpe?g|gif|svg"
    "|mp[34]|wav|ogg|flac|sh|rs|go|java|cpp|hpp|rb|php|sql|xml|ini|cfg|log|lock|ipynb|env"
)
_SIGNS = {
    ".": " dot ",
    "/": " slash ",
    "-": " dash ",
    "_": " underscore ",
    "@": " at ",
    "+": " plus ",
    ":": " colon ",
    "~": " tilde ",
    "=": " equals ",
    "&": " and ",
    "%": " percent ",
    "#": " hash ",
    "\\": " backslash ",
}
_PART = re.compile(r"\d+|[A-Za-z]+|.", re.DOTALL)
_SCHEME = re.compile(r"(?:https?://|mailto:)(?:www\.)?|www\.")


def read_address(text: str) -> str:
    """An address as a person reads it: no scheme, no "www", no query."""
    text = re.split(r"[?#]", _SCHEME.sub("", text, count=1), maxsplit=1)[0].replace("://", " ").rstrip("/")
    return " ".join("".join(map(_read_part, _PART.findall(text))).split())


def _read_part(part: str) -> str:
    if part.isdecimal() and part.isascii():
        return f" {numbers.number(part) if len(part) <= 4 else numbers.digits(part)} "
    if part.isascii() and part.isalpha() and len(part) <= 4 and not re.search("[aeiouyAEIOUY]", part):
        return f" {part.upper()} "
    return _SIGNS.get(part, part if part.isalpha() else " ")


def _address(match: re.Match[str]) -> str:
    return read_address(match[0])


RULES = (
    Rule("A", r"(?:[a-z][a-z0-9+]{1,9}://|www\.)[^\s<>\"]*[^\s<>\".,;:!?)\]}'’]", _address),
    Rule("A9", r"(?:mailto:)?[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}(?!\w)(?::[\w./~-]*\w)?", _address),
    Rule(
        "A9",
        rf"(?:localhost(?=:\d)|(?:[\w-]+/)*(?:[A-Za-z0-9_-]+\.)+(?:{_ENDINGS})(?!\w))(?::\d{{1,5}}(?!\w)){{0,2}}"
        r"(?:/[\w./%~+-]*[\w/])?",
        _address,
    ),
    Rule("+", r"(?:~|\.{1,2})?/[\w.@+-]*\w(?:/[\w.@+-]*\w)*", _address),
    Rule("A", r"[A-Z]:(?:\\[\w.-]*\w)+", _address),
    Rule("+", r"\.(?=[A-Z]{2}|[a-z]{2}|Net\b)", lambda match: "dot "),
)
