"""Code fences of Markdown.

A code block is skipped once its closing fence arrives. A fence that does not close within CLOSES_WITHIN code
points, or by a flush, opens no code block: the text after it is spoken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import regex

from streaming_server.text.cursor import Construct, Cursor, Incomplete
from streaming_server.text.items import pause

PAUSE_S = 0.5
"""Pause in place of a code block, in seconds."""

CLOSES_WITHIN = 8192
"""Longest code block, in code points: about 200 lines."""

LONGEST_FENCE = 120
"""Longest line that opens or closes a code block, in code points."""

_OPENING = regex.compile(r"(?P<mark>`{3,}|~{3,})[^`~\n]*+(?=\n)")


@dataclass(slots=True)
class Fence:
    """A code fence that was opened.

    mark: its backticks or tildes. limit: the last place for a closing fence. line: where the next line that
    may be one begins. Both are offsets into the client's text.
    """

    mark: str
    limit: int
    line: int

    def block(self, cursor: Cursor, end: int) -> Construct | None:
        """Match the rest of the code block, which holds nothing to speak; None if the fence never closes.

        end: of the text in the cursor. Raises Incomplete while the fence may still close.
        """
        while self.line <= self.limit:
            at = self.line - cursor.offset
            if (closing := closing_fence(cursor, self.mark, at)) is not None:
                return closing
            newline = cursor.text.find("\n", at, end)
            if newline < 0:
                if cursor.final or cursor.offset + end > self.limit:
                    return None
                raise Incomplete
            self.line = cursor.offset + newline + 1
        return None


class Unclosed(NamedTuple):
    """A fence that never closed.

    Text before `until` is spoken; fence lines in it are dropped without waiting for a closing line.
    """

    mark: str
    until: int


def opening_fence(cursor: Cursor) -> tuple[str, Construct] | None:
    """Match a line that opens a code block: its marks, and a pause unless code is spoken."""
    match = cursor.match(_OPENING, LONGEST_FENCE) if cursor.text[cursor.at] in "`~" else None
    if match is None:
        return None
    items = () if cursor.style.speak_code else (pause(PAUSE_S, cursor.place),)
    return match["mark"], Construct(match.end(), items)


def fence_after(cursor: Cursor, mark: str) -> Fence:
    """Return the fence whose opening line has just been read, up to its newline."""
    return Fence(mark, cursor.place + CLOSES_WITHIN, cursor.place)


def closing_fence(cursor: Cursor, mark: str, at: int | None = None) -> Construct | None:
    """Match a line that closes a code block, also one within a quotation. at: the beginning of the line."""
    pattern = regex.compile(rf"[ \t>]*+{mark[0]}{{{len(mark)},}}+[ \t\r]*+(?=\n)")
    match = cursor.match(pattern, LONGEST_FENCE, at)
    return Construct(match.end()) if match else None
