"""Reads Markdown, speech markup and emoji in text that is still arriving."""

from __future__ import annotations

from contextlib import suppress

import regex

from streaming_server.text import asides, blocks, formulas, inline, markup
from streaming_server.text.cursor import Construct, Cursor, Incomplete, Rule
from streaming_server.text.emoji import EMOJI, EMOJI_PARTS, INVISIBLE, JOINER, invisible, joiner, picture
from streaming_server.text.fences import Fence, Unclosed, closing_fence, fence_after, opening_fence
from streaming_server.text.items import Item, literal
from streaming_server.text.prosody import ProsodyChange
from streaming_server.text.style import SpeakingStyle

_RULES: dict[str, tuple[Rule, ...]] = {
    "<": (markup.tag,),
    "&": (markup.entity,),
    "[": (markup.bracketed_pause, markup.speaker_tag, asides.enclosed, inline.link),
    "!": (inline.image,),
    "(": (asides.enclosed,),
    "`": (inline.code,),
    "\\": (formulas.formula, inline.escape),
    "|": (inline.cell_border,),
    "#": (inline.closing_marks,),
    ":": (inline.shortcode,),
    "=": (inline.highlight,),
    "$": (formulas.formula,),
    JOINER: (joiner,),
}
_SECOND = {
    "<": regex.compile(r"[\w!?/]"),
    "&": regex.compile(r"[#A-Za-z]"),
    "!": regex.compile(r"\["),
    "(": regex.compile(r"[A-Za-z]"),
    "\\": regex.compile(r"[!-/:-@\[-`{-~\n]"),
    ":": regex.compile(r"[a-z+-]"),
    "=": regex.compile("="),
    "$": regex.compile(r"[^\s]"),
}
"""Patterns that must follow a character for its rules to be tried."""
_INVISIBLE = regex.compile(f"[{INVISIBLE}]")
_MARKS = frozenset("*_~")
_SPECIAL = regex.compile(rf"[[<&\[!(`\\|*_~#:=$\n{JOINER}{INVISIBLE}][{EMOJI}][{EMOJI_PARTS}]]", regex.V1)


class MarkupReader:
    """Turns text into items: `Said` without markup, pauses and changes of speaker.

    What comes out depends on the text and on where it was flushed, not on how it was cut.
    start: where the text begins in the client's text.
    """

    def __init__(self, style: SpeakingStyle, start: int = 0, *, line_start: bool = True) -> None:
        self._style = style
        self._cursor = Cursor("", 0, start, "", "", False, False, False, style, self._nested)
        self._emphasis = inline.Emphasis()
        self._line_start = line_start
        self._blank = True
        self._fence: Fence | None = None
        self._unclosed: Unclosed | None = None
        self._items: list[Item] = []
        self._kept = 0

    def push(self, text: str) -> list[Item]:
        """Return the items that are decided so far."""
        self._cursor.text += text
        with suppress(Incomplete):
            self._read(len(self._cursor.text))
        return self._taken()

    def flush(self, *, close_blocks: bool = True) -> list[Item]:
        """Return the rest; incomplete constructs are read literally.

        close_blocks: False leaves a code block that has not closed open.
        """
        cursor = self._cursor
        if self._fence and not close_blocks:
            return []
        end = len(cursor.text)
        cursor.text += "\n"
        cursor.final = True
        self._read(end)
        cursor.text = cursor.text[:end]
        cursor.final = False
        return self._taken()

    def _taken(self) -> list[Item]:
        self._say_kept()
        cursor = self._cursor
        cursor.text = cursor.text[cursor.at :]
        cursor.offset += cursor.at
        cursor.at = self._kept = 0
        items, self._items = self._items, []
        return items

    def _read(self, end: int) -> None:
        cursor = self._cursor
        while cursor.at < end:
            if self._fence and self._style.speak_code:
                self._speak_code(self._fence, end)
            elif self._fence:
                self._read_code(self._fence, end)
            elif not (self._line_start and self._read_block()):
                self._read_inline(end)

    def _take(self, construct: Construct) -> None:
        """Pass a construct, saying what is said for it."""
        self._say_kept()
        self._items.extend(construct.items)
        self._keep(construct.end)
        self._kept = construct.end

    def _keep(self, end: int) -> None:
        """Pass the text up to `end`, which is said as it is."""
        cursor = self._cursor
        cursor.previous = cursor.text[end - 1]
        if (kept := cursor.text[cursor.at : end].rstrip(" \t")) != "":
            cursor.before = kept[-1]
        cursor.at = end

    def _say_kept(self) -> None:
        cursor = self._cursor
        if cursor.at > self._kept:
            kept = cursor.text[self._kept : cursor.at]
            self._items.append(literal(kept, cursor.offset + self._kept))
            self._kept = cursor.at

    def _read_code(self, fence: Fence, end: int) -> None:
        """Skip a code block, or read on after a fence that never closes."""
        closing = fence.block(self._cursor, end)
        self._fence = None
        if closing is not None:
            self._take(closing)
        else:
            self._unclosed = Unclosed(fence.mark, min(fence.limit, self._cursor.offset + end))

    def _speak_code(self, fence: Fence, end: int) -> None:
        """Read to the end of a line of a code block."""
        cursor = self._cursor
        closing = closing_fence(cursor, fence.mark) if self._line_start else None
        self._line_start = False
        if closing is not None:
            self._fence = None
            self._take(closing)
            return
        newline = cursor.text.find("\n", cursor.at, end)
        self._keep(newline + 1 if newline >= 0 else end)
        self._line_start = newline >= 0

    def _read_block(self) -> bool:
        """Read what may begin a line; False where none of it does."""
        cursor = self._cursor
        character = cursor.text[cursor.at]
        if character in " \t":
            self._keep(cursor.at + 1)
            return True
        if character not in blocks.STARTS:
            return False
        if character in "`~" and self._read_fence():
            return True
        construct = blocks.markup_line(cursor)
        if construct is None and character == "|":
            cursor.row = True
            construct = Construct(cursor.at + 1)
        construct = construct or blocks.line_prefix(cursor)
        cursor.heading = cursor.heading or (construct is not None and character == "#")
        if construct is None and (construct := blocks.list_number(cursor) or blocks.callout(cursor)):
            self._line_start = self._blank = False
        if construct is None:
            return False
        self._take(construct)
        return True

    def _read_fence(self) -> bool:
        """Read a line that opens a code block, or that closes one that was open for too long."""
        cursor, unclosed = self._cursor, self._unclosed
        if unclosed and (closing := closing_fence(cursor, unclosed.mark)):
            if cursor.place >= unclosed.until:
                self._unclosed = None
            self._take(closing)
            return True
        if (opening := opening_fence(cursor)) is None:
            return False
        mark, construct = opening
        if unclosed and cursor.place < unclosed.until:
            self._take(Construct(construct.end))
            return True
        self._take(construct)
        self._fence, self._unclosed = fence_after(cursor, mark), None
        self._line_start = False
        return True

    def _read_inline(self, end: int) -> None:
        """Read the next construct, or the text before it."""
        cursor = self._cursor
        special = _SPECIAL.search(cursor.text, cursor.at, end)
        stop = special.start() if special else end
        if stop > cursor.at:
            self._line_start = self._blank = False
            self._keep(stop)
            return
        character = cursor.text[stop]
        if character == "\n":
            self._end_line()
            return
        construct = self._construct(character)
        if construct is None:
            self._line_start = self._blank = False
            self._keep(stop + 1)
            return
        if any(not isinstance(item, ProsodyChange) for item in construct.items):
            self._line_start = self._blank = False
        self._take(construct)

    def _end_line(self) -> None:
        if self._blank:
            self._emphasis.end_paragraph()
        self._keep(self._cursor.at + 1)
        self._cursor.row = self._cursor.heading = False
        self._line_start = self._blank = True

    def _construct(self, character: str) -> Construct | None:
        cursor = self._cursor
        if character in _MARKS:
            return asides.starred(cursor) or self._emphasis(cursor)
        if (rules := _RULES.get(character)) is not None:
            if (second := _SECOND.get(character)) and not second.match(cursor.following()):
                return None
            for rule in rules:
                if (construct := rule(cursor)) is not None:
                    return construct
            return None
        return invisible(cursor) if _INVISIBLE.match(character) else picture(cursor)

    def _nested(self, text: str, start: int) -> tuple[Item, ...]:
        """Return the spoken text of a complete text inside a construct."""
        inner = MarkupReader(self._style, start, line_start=False)
        return (*inner.push(text), *inner.flush())
