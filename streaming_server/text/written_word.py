"""Words as they are written, between white space or dashes."""

from __future__ import annotations

import re

WRITTEN_WORD = re.compile(r"[^\s\u2012-\u2015\u2026]+")
"""Also a word with the punctuation around it, or punctuation alone."""

_TRIMMED = " .,;:!?\"'()[]{}<>*_`«»‹›“”„‘’¿¡、。，！？：；「」『』（）،؛؟۔।॥።၊။"


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without punctuation at its ends; one of punctuation alone stays."""
    word = text[start:end]
    left = len(word) - len(word.lstrip(_TRIMMED))
    right = len(word.rstrip(_TRIMMED))
    return (start + left, start + right) if left < right else (start, end)
