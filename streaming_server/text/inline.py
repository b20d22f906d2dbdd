"""Markdown within a line: emphasis, code, links, images, escapes, table cells."""

from __future__ import annotations

import regex

from streaming_server.text.cursor import Construct, Cursor
from streaming_server.text.items import literal, replacement

LONGEST_SPAN = 200
"""Most code points of text between two marks: of inline code, of a highlight, of a link's text."""

_RUNS = {
    "*": regex.compile(r"\*{1,3}(?=[^*])"),
    "_": regex.compile(r"_{1,3}(?=[^_])"),
    "~": regex.compile(r"~~(?=[^~])"),
}
_HIGHLIGHT = regex.compile(r"==(?=[^\s=])((?:[^=\n]++|=(?=[^=]))++)==(?=[^=\w])")
_CLOSING = frozenset(".,;:!?)]}»”’…")
_ESCAPE = regex.compile(r"\\(?:([!-/:-@\[-`{-~])|(?=\n))")
_CLOSING_MARKS = regex.compile(r"#++[ \t]*+(?=[\r\n])")
_SHORTCODE = regex.compile(r":([a-z][a-z0-9_-]{1,30}+|[+-]1):(?=[^\w:])")
_SINGLE_CODE = regex.compile(r"`([^`\n]++)`(?=[^`])")
_DOUBLE_CODE = regex.compile(r"``(?=[^`])((?:[^`\n]++|`(?=[^`]))*+)``(?=[^`])")
_TRIPLE_CODE = regex.compile(r"```(?=[^`])((?:[^`\n]++|`{1,2}(?=[^`]))*+)```(?=[^`])")
_TARGET = r"\((?:[^()\n\\]++|\\.|\([^()\n]*+\))*+\)"
_IMAGE = regex.compile(rf"!\[([^\[\]\n]*+)\]{_TARGET}")
_LABEL = rf"(?:[^\[\]\n\\]++|\\.|\[[^\[\]\n]*+\](?:{_TARGET})?)*+"
_LINK = regex.compile(rf"\[({_LABEL})\](?:{_TARGET}|\[[^\[\]\n]*+\])")
_IMAGE_LABEL = regex.compile(r"!\[[^\[\]\n]*+\]")
_LINK_LABEL = regex.compile(rf"\[{_LABEL}\]")
_FOOTNOTE = regex.compile(r"\[\^[\w-]{1,30}+\]")
_CELLS = regex.compile(r"\|(?:[ \t]*+\|)*+[ \t]*+(?=([^ \t|]))")


class Emphasis:
    """Drops the marks of `*emphasis*`, `**strong**`, `_`, `__` and `~~`.

    Their neighbours decide, as in CommonMark, so nothing waits for the closing marks. `2*3*4`, `5 * 3`,
    `2**8` and `snake_case` are text.
    """

    def __init__(self) -> None:
        self._open: set[str] = set()

    def end_paragraph(self) -> None:
        self._open.clear()

    def __call__(self, cursor: Cursor) -> Construct | None:
        mark, before = cursor.text[cursor.at], cursor.previous
        run = cursor.match(_RUNS[mark]) if before != mark else None
        if run is None:
            return None
        after = cursor.text[run.end()]
        if self._closes(mark, before, after):
            self._open.discard(mark)
        elif _opens(mark, len(run[0]), before, after):
            self._open.add(mark)
        elif mark == "_" or len(run[0]) < 2 or not _ends_word(before, after):
            return None
        return Construct(run.end())

    def _closes(self, mark: str, before: str, after: str) -> bool:
        inside_word = mark == "_" and after.isalnum()
        return mark in self._open and before != "" and not before.isspace() and not inside_word


def _opens(mark: str, length: int, before: str, after: str) -> bool:
    if after.isspace() or after in _CLOSING:
        return False
    inside_word = length > 1 and mark != "_" and before.isalpha() and after.isalpha()
    return inside_word or not before.isalnum()


def _ends_word(before: str, after: str) -> bool:
    """Marks after a word that none before it opened: the opening ones were in another message."""
    return before != "" and not before.isspace() and (after.isspace() or after in _CLOSING)


def escape(cursor: Cursor) -> Construct | None:
    """A backslash in front of punctuation takes its meaning away; at the end of a line it breaks that."""
    match = cursor.match(_ESCAPE)
    if match is None:
        return None
    return Construct(match.end(), (literal(match[1], cursor.place + 1),) if match[1] else ())


def highlight(cursor: Cursor) -> Construct | None:
    """ "==marked==", read as its text; "a == b" and "a==b" are text."""
    if cursor.previous == "=" or cursor.previous.isalnum():
        return None
    match = cursor.match(_HIGHLIGHT, LONGEST_SPAN)
    return _with_label(cursor, match) if match and not match[1][-1].isspace() else None


def closing_marks(cursor: Cursor) -> Construct | None:
    """ "## Heading ##"; "# About C#" is text."""
    match = cursor.match(_CLOSING_MARKS) if cursor.heading and cursor.previous in " \t" else None
    return Construct(match.end()) if match else None


def shortcode(cursor: Cursor) -> Construct | None:
    """ ":tada:", an emoji by its name."""
    match = None if cursor.previous.isalnum() or cursor.previous == ":" else cursor.match(_SHORTCODE)
    if match is None:
        return None
    if not cursor.style.name_emoji:
        return Construct(match.end())
    name = f" {match[1].replace('_', ' ')} "
    return Construct(match.end(), (replacement(name, cursor.place, cursor.offset + match.end()),))


def code(cursor: Cursor) -> Construct | None:
    """Inline code, whose content is text alone."""
    if cursor.previous == "`":
        return None
    for pattern in (_SINGLE_CODE, _DOUBLE_CODE, _TRIPLE_CODE):
        if match := cursor.match(pattern, LONGEST_SPAN):
            return Construct(match.end(), (literal(match[1], cursor.offset + match.start(1)),))
    return None


def image(cursor: Cursor) -> Construct | None:
    """An image, read as its alternative text."""
    return _labelled(cursor, _IMAGE_LABEL, _IMAGE)


def link(cursor: Cursor) -> Construct | None:
    """A link, read as its text; a reference to a footnote, not read."""
    if cursor.following() == "^":
        match = cursor.match(_FOOTNOTE)
        return Construct(match.end()) if match else None
    return _labelled(cursor, _LINK_LABEL, _LINK)


def _labelled(cursor: Cursor, label: regex.Pattern[str], whole: regex.Pattern[str]) -> Construct | None:
    """A label and its address, which may be longer than the label."""
    match = cursor.match(whole) if cursor.match(label, LONGEST_SPAN) else None
    return _with_label(cursor, match) if match else None


def _with_label(cursor: Cursor, match: regex.Match[str]) -> Construct:
    return Construct(match.end(), cursor.nested(match[1], cursor.offset + match.start(1)))


def cell_border(cursor: Cursor) -> Construct | None:
    """The border between two cells of a table is a comma; the last one of a row is nothing."""
    match = cursor.match(_CELLS) if cursor.row else None
    if match is None:
        return None
    if match[1] in "\r\n":
        return Construct(match.end())
    return Construct(match.end(), (replacement(", ", cursor.place, cursor.offset + match.end()),))
