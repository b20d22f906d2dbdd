"""A place in text that is still arriving, and what is written there.

A rule reads at the cursor and returns a `Construct`, or None if its construct is not written there. It must
decide the same however much text follows: `Cursor.match` raises `Incomplete` until the text decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import regex

from streaming_server.text.items import Item
from streaming_server.text.style import SpeakingStyle

LOOK_AHEAD = 512
"""Most code points that any construct waits for. One that is not complete by then is spoken as written."""


class Incomplete(Exception):
    """More text is needed to decide."""


@dataclass(frozen=True, slots=True)
class Construct:
    """A replacement of the written text from the cursor to `end` (an offset into `Cursor.text`)."""

    end: int
    items: tuple[Item, ...] = ()


@dataclass(slots=True)
class Cursor:
    """text[at:] is to be read. Where nothing more follows (`final`), `text` ends with an added newline.

    offset: where `text` begins in the client's text. previous: the character before `at`, "" at the start.
    before: the last character before `at` other than a space.
    row: inside a table row. heading: in a heading. nested: reads the complete text within a construct, given
    where it begins.
    """

    text: str
    at: int
    offset: int
    previous: str
    before: str
    final: bool
    row: bool
    heading: bool
    style: SpeakingStyle
    nested: Callable[[str, int], tuple[Item, ...]]

    @property
    def place(self) -> int:
        """The cursor in the client's text."""
        return self.offset + self.at

    def following(self) -> str:
        """The character after the one at the cursor. Raises Incomplete if it has not arrived."""
        if self.at + 1 >= len(self.text):
            raise Incomplete
        return self.text[self.at + 1]

    def match(
        self, pattern: regex.Pattern[str], bound: int = LOOK_AHEAD, at: int | None = None
    ) -> regex.Match[str] | None:
        """Match within `bound` characters. Raises Incomplete if text still to come may match.

        A pattern must end with a delimiter or a positive look-ahead, so that more text cannot lengthen it.
        at: where to match, if not at the cursor.
        """
        at = self.at if at is None else at
        stop = at + bound
        waits = not self.final and stop > len(self.text)
        match = pattern.match(self.text, at, stop, partial=waits)
        if match is not None and match.partial:
            raise Incomplete
        return match


Rule = Callable[[Cursor], Construct | None]
