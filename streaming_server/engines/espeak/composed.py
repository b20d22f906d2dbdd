"""Compose text to NFC: eSpeak NG spells out or drops combining accents otherwise."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from dataclasses import replace
from typing import TypeVar

from streaming_server.types import Pronounced, ProsodySpan, WordMark

P = TypeVar("P", Pronounced, ProsodySpan)

_LETTER = re.compile("(?s:.)[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u1160-\u11ff\u3099\u309a]*")
"""A letter and the marks that NFC may join with it. Marks of other scripts stay as they are."""


class Composed:
    """A text in NFC, with the places of its characters in the text as it was."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._places: list[int] | None = None
        if not unicodedata.is_normalized("NFC", text):
            parts = [
                (match.start(), unicodedata.normalize("NFC", match[0])) for match in _LETTER.finditer(text)
            ]
            self.text = "".join(part for _, part in parts)
            self._places = [start for start, part in parts for _ in part] + [len(text)]

    def compose_parts(self, parts: tuple[P, ...]) -> tuple[P, ...]:
        """Return parts of the original text as parts of this one."""
        if (places := self._places) is None:
            return parts
        return tuple(
            replace(part, start=bisect_left(places, part.start), end=bisect_left(places, part.end))
            for part in parts
        )

    def compose_spans(self, spans: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """Return spans of the original text as spans of this one."""
        if (places := self._places) is None:
            return spans
        return tuple((bisect_left(places, start), bisect_left(places, end)) for start, end in spans)

    def original_marks(self, marks: tuple[WordMark, ...]) -> tuple[WordMark, ...]:
        """Return marks of this text as marks of the original one."""
        if (places := self._places) is None:
            return marks
        return tuple(replace(mark, start=places[mark.start], end=places[mark.end]) for mark in marks)
