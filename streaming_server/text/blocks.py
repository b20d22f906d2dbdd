"""Markdown that stands at the beginning of a line: headings, lists, quotes, rules, tables."""

from __future__ import annotations

import regex

from streaming_server.text.cursor import Construct, Cursor
from streaming_server.text.items import literal, replacement

LONGEST_LINE = 120
"""Most characters of a line that is markup alone."""

_RULE = regex.compile(r"(?:(?:-[ \t]*+){3,}+|(?:\*[ \t]*+){3,}+|(?:_[ \t]*+){3,}+|={3,}+[ \t]*+)(?=[\r\n])")
_DELIMITER_ROW = regex.compile(r"\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+(?=[\r\n])")
_DEFINITION = regex.compile(
    r"\[[^\[\]\n^][^\[\]\n]*+\]:[ \t]++(?:<[^<>\n]*+>|(?=[^\s]*?(?:[/#]|\.\w))[^\s]++)"
    r"(?:[ \t]++(?:\"[^\"\n]*+\"|'[^'\n]*+'|\([^()\n]*+\)))?[ \t]*+(?=[\r\n])"
)
_FOOTNOTE = regex.compile(r"\[\^[\w-]{1,30}+\]:[ \t]")
_CALLOUT = regex.compile(r"\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]")
_HEADING = regex.compile(r"#{1,6}+[ \t]")
_QUOTE = regex.compile(r">(?:[ \t]|(?=[>\r\n]))")
_BULLET = regex.compile(r"[-*+•◦▪‣·:][ \t]")
_TASK = regex.compile(r"\[[ xX]\][ \t]")
_NUMBER = regex.compile(r"(\d{1,3}+)[.)][ \t]")

STARTS = frozenset("`~-*_=|#>+•◦▪‣·[:0123456789")
"""Characters with which a block may start."""


def markup_line(cursor: Cursor) -> Construct | None:
    """Match a line of markup only: a thematic break, an underline, a delimiter row, a link's address."""
    for pattern in (_RULE, _DELIMITER_ROW):
        if match := cursor.match(pattern, LONGEST_LINE):
            return Construct(match.end())
    match = cursor.match(_DEFINITION) if cursor.text[cursor.at] == "[" else None
    return Construct(match.end()) if match else None


def callout(cursor: Cursor) -> Construct | None:
    """ "[!NOTE]", which begins a quotation that is set apart."""
    match = cursor.match(_CALLOUT) if cursor.text[cursor.at] == "[" else None
    if match is None:
        return None
    return Construct(
        match.end(), (replacement(match[1].capitalize(), cursor.place, cursor.offset + match.end()),)
    )


def line_prefix(cursor: Cursor) -> Construct | None:
    """A mark in front of a heading, a quotation or a list item; another may follow."""
    for pattern in (_HEADING, _QUOTE, _BULLET, _TASK, _FOOTNOTE):
        if match := cursor.match(pattern):
            return Construct(match.end())
    return None


def list_number(cursor: Cursor) -> Construct | None:
    """The number of a list item. English: "1. Wash" is read "1, Wash", with no end of a sentence."""
    match = cursor.match(_NUMBER) if cursor.style.english else None
    if match is None:
        return None
    mark = cursor.offset + match.end(1)
    number, space = literal(match[1], cursor.place), literal(match[0][-1], mark + 1)
    return Construct(match.end(), (number, replacement(",", mark, mark + 1), space))
