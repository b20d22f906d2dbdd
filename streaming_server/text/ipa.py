"""The characters of the International Phonetic Alphabet."""

from __future__ import annotations

import unicodedata

import regex

_LETTER = r"a-zæðøħŋœβθχǀ-ǃⱱ\u0250-\u02AF\u1D00-\u1D2B\u1D62-\u1D77\u1D79-\u1D9A"
_MARK = r"\u02B0-\u036F\u1D2C-\u1D61\u1D78\u1D9B-\u1DFF\u2070-\u209F\uA700-\uA721↗↘"
"""Stress, length, tone, ties, diacritics and superscripts."""
_BETWEEN = r"\s.|‖‿ˈˌ'’:()/\[\]-"
"""Breaks, brackets, and the ASCII characters that people type for stress and length."""

_SOUND = regex.compile(f"[{_LETTER}]")
_FOREIGN = regex.compile(f"[^{_LETTER}{_MARK}{_BETWEEN}]")


def ipa_problem(ipa: str) -> str | None:
    """Return what is wrong with a pronunciation in IPA, as a predicate; None if it is written in IPA.

    Whether an engine makes every sound of it, only the engine knows.
    """
    text = unicodedata.normalize("NFD", ipa)
    if (foreign := _FOREIGN.search(text)) is not None:
        return f"contains {foreign[0]!r} (U+{ord(foreign[0]):04X}), which is not an IPA character."
    return None if _SOUND.search(text) else "must contain an IPA letter."
