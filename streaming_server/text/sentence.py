"""Sentences of a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sentence:
    """A slice of the text, with the white space around it.

    Consecutive sentences touch, except where text without sound was skipped. start: in code points.
    """

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def spoken_start(self) -> int:
        return self.end - len(self.text.lstrip())

    @property
    def spoken_end(self) -> int:
        return self.start + len(self.text.rstrip())
