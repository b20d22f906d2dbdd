"""A rule for reading figures and signs, and what rules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streaming_server.text.english.names import CAPITALISED_CONTINUATIONS, SENTENCE_STARTERS

_SPACED = r"(?=(?: \d{3})* (?:000|\d\d[1-9]|\d[1-9]\d))(?: \d{3}){2,}| 000"
NUMBER = (
    rf"(?:(?:[1-9]\d{{0,2}}(?:(?:[\u00a0\u202f']\d{{3}})+|{_SPACED})(?!\d)"
    r"|\d{1,3}(?:,\d{2,3})*,\d{3}|\d+)(?:\.\d+)?|\.\d+)"
)
"""Pattern of a number, also one in groups: 1,234,567; 1 000 000; 1'000; 1,00,000; but not "10 200 300"."""
END = r"(?![\w])(?!\.\d)"
"""Pattern of the end of a figure: neither a letter nor a decimal follows."""
PLUS = r"(\+(?![\w+]))?"
"""Pattern of the plus sign after a figure, as in "5+", if there is one."""


BEFORE = 24
"""Characters in front of an expression that may decide how it is read."""


ARTICLE_BEFORE = re.compile(
    r"\b(?:[Aa]n?|[Tt]his|[Ee]ach|[Ee]very|[Hh]is|[Hh]er|[Mm]y|[Oo]ur|[Tt]heir|[Yy]our)\s\Z"
)
NOUN_AFTER = re.compile(
    r"\s(?!(?:of|to|for|in|and|or|from|at|on|is|was|than|per|a|more|less|each|later|ago)\b)[a-z]"
)
"""Patterns around a quantity that qualifies a noun: "a 50 lb bag", "a $5 bill"."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for reading one kind of expression.

    first: kinds of the first character: A a letter, 9 a digit, + anything else. pattern: matched where a
    word begins, up to where nothing further matters. say: what to speak for the match, or None where it is
    something else after all.
    """

    first: str
    pattern: str
    say: Callable[[re.Match[str]], str | None]


def alternatives(words: Iterable[str]) -> str:
    """A pattern for any of the words, longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_READ_AS_LETTERS = frozenset({"US", "UK", "UN", "EU", "USA", "IBM", "ID"})


def letters(text: str) -> str:
    """Letters read one by one. Engines take a lone "A" for the article, unless a hyphen follows."""
    if text in _READ_AS_LETTERS:
        return text
    return re.sub(r"\bA (?=\w)", "A-", " ".join(text))


def rest_of(match: re.Match[str]) -> str:
    """Return the text after the match, as far as it matters."""
    return match.string[match.end() : match.endpos]


def before(match: re.Match[str]) -> str:
    """Return the last BEFORE characters in front of the match."""
    return match.string[max(0, match.start() - BEFORE) : match.start()]


def stop_ends_sentence(rest: str, *, name: bool = False) -> bool:
    """Return whether the point of an abbreviation also ends the sentence.

    name: the abbreviation is often part of a name ("U.S. Army"), so a capital letter does not tell.
    """
    word = re.match(r"\s+[\"'“‘(]*([^\W\d_][\w'’]*)", rest)
    if word is None:
        return not rest.strip()
    if name:
        return word[1] in SENTENCE_STARTERS
    return word[1][0].isupper() and word[1] not in CAPITALISED_CONTINUATIONS
