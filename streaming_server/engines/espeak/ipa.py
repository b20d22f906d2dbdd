"""IPA in the library's own phoneme names, which differ from language to language."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from types import MappingProxyType

_NEAR = MappingProxyType(
    {
        "ɹ": "r ɾ ʁ",
        "r": "ɹ ɾ ʁ ʀ",
        "ʁ": "ʀ r ɾ ɹ",
        "ɾ": "r ɹ t",
        "ʀ": "ʁ r",
        "ɡ": "g k",
        "g": "ɡ",
        "θ": "s t",
        "ð": "z d",
        "ŋ": "n",
        "h": "x",
        "x": "h k",
        "ç": "x ʃ",
        "ʒ": "ʃ z",
        "ʃ": "s",
        "z": "s",
        "w": "v u",
        "v": "w f",
        "ʎ": "l",
        "ɲ": "n",
        "ʔ": "",
        "tʃ": "t͡ʃ",
        "dʒ": "d͡ʒ",
        "b": "p",
        "d": "t",
        "t͡ʃ": "tʃ",
        "d͡ʒ": "dʒ",
        "əʊ": "oʊ o",
        "oʊ": "əʊ o",
        "eɪ": "eː e ɛɪ",
        "aɪ": "ai",
        "aʊ": "au",
        "ɔɪ": "ɔi oi",
        "æ": "a ɛ",
        "a": "ɑ æ ɑː aː",
        "ɑː": "ɑ aː a",
        "ɑ": "ɑː a",
        "aː": "ɑː a",
        "ɒ": "ɔ ɑː a",
        "ʌ": "ɐ a ə",
        "ɐ": "ʌ a ə",
        "ə": "ɐ ɛ e",
        "ɜː": "ɜ ɚ œ ə",
        "ɝ": "ɜː ɚ",
        "ɜ": "ɜː ɛ",
        "ɚ": "ə",
        "ɪ": "i",
        "i": "iː ɪ",
        "iː": "i",
        "ʊ": "u",
        "u": "uː ʊ",
        "uː": "u",
        "ɔː": "ɔ oː o",
        "ɔ": "o ɔː",
        "o": "oː ɔ oʊ",
        "oː": "o ɔː",
        "e": "eː ɛ eɪ",
        "eː": "e eɪ",
        "ɛ": "e",
        "y": "yː ʏ u",
        "ø": "øː œ e",
        "œ": "ø ɛ",
        "ʏ": "y u",
        "ɨ": "ɪ i",
        "ɔ̃": "ɔn on",
        "ɑ̃": "ɑn an",
        "ɛ̃": "ɛn en",
        "œ̃": "œn ɛn",
        "n̩": "ən",
        "l̩": "əl",
        "m̩": "əm",
    }
)
"""Sounds to fall back to where a language has no phoneme for one."""

_VOWELS = frozenset("aæɐɑɒeɘəɛɜɝɚiɨɪoɔøœuʉʊʌyʏɵɤɯᵻ")
_UNSPOKEN = re.compile(r"[\[\]/.|‿()-]")
_STRESSES = MappingProxyType({"ˈ": "'", "ˌ": ","})
_PROBE = "a:"


def phoneme_names(data: Path) -> tuple[str, ...]:
    """Return the names of all phonemes of all languages, from the library's file `phontab`.

    It holds a count of tables; each table a count of phonemes in four bytes, a name in 32, and 16 bytes for
    each phoneme, which begin with its name.
    """
    raw = (data / "phontab").read_bytes()
    names: set[bytes] = set()
    at = 4
    for _ in range(raw[0]):
        count, at = raw[at], at + 36
        names |= {raw[place : place + 4].rstrip(b"\0") for place in range(at, at + 16 * count, 16)}
        at += 16 * count
    texts = (name.decode("ascii", "ignore") for name in names)
    usable = (name for name in texts if name and not set(name) & set("|'_,%=[] -^"))
    return tuple(sorted(usable, key=lambda name: (len(name), name)))


class PhonemeTable:
    """The phonemes of one language, by IPA.

    names: as `phoneme_names` returns. speak: returns the IPA of text in the library's phoneme names.
    """

    def __init__(self, names: Iterable[str], speak: Callable[[str], str]) -> None:
        self._names: dict[str, str] = {}
        self._speak = speak
        tail = speak(_PROBE)
        plain: dict[str, str] = {}
        for name in names:
            # In front of a vowel, since some languages devoice what ends a word.
            before_vowel = speak(f"{name}|{_PROBE}")
            if tail and before_vowel.endswith(tail):
                self._add(self._names, before_vowel.removesuffix(tail), name)
            self._add(plain, speak(name), name)
        self._names = {**plain, **self._names}
        self._longest = max(map(len, self._names), default=0)

    def spelled(self, ipa: str) -> str | None:
        """Return IPA in the library's phoneme names, or None for a sound that this language cannot make."""
        text = _UNSPOKEN.sub("", _decomposed(ipa.strip()).replace(":", "ː").replace("'", "ˈ"))
        words = [self._word(word) for word in text.split()]
        return "||".join(word for word in words if word) if words and all(words) else None

    def _word(self, text: str) -> str | None:
        names: list[str] = []
        stress, at = "", 0
        while at < len(text):
            if text[at] in _STRESSES:
                stress, at = _STRESSES[text[at]], at + 1
                continue
            found, length = self._at(text, at)
            if found is None:
                return None
            at += length
            if not found:
                continue
            if stress and text[at - length] in _VOWELS:
                found, stress = stress + found, ""
            names.append(found)
        return "|".join(names) or None

    def _at(self, text: str, at: int) -> tuple[str | None, int]:
        """Return the name of the longest sound at a place and its length; None if there is none."""
        for length in range(min(max(self._longest, 3), len(text) - at), 0, -1):
            if (name := self._find(text[at : at + length])) is not None:
                return name, length
        return ("", 1) if text[at] in "ːˑʰʲʷˠˤ͜͡" or unicodedata.combining(text[at]) else (None, 0)

    def _find(self, sound: str) -> str | None:
        if (name := self._names.get(sound)) is not None:
            return name
        for other in _NEAR[sound].split() if sound in _NEAR else ():
            parts = [self._names.get(other)] if other in self._names else [self._names.get(c) for c in other]
            if all(part is not None for part in parts):
                return "|".join(part for part in parts if part)
        return "" if _NEAR.get(sound) == "" else None

    @staticmethod
    def _add(names: dict[str, str], ipa: str, name: str) -> None:
        clean = _decomposed(ipa)
        if clean and not any(c.isdigit() or c in "ˈˌ-^_? " for c in clean):
            names.setdefault(clean, name)


def _decomposed(ipa: str) -> str:
    """Return IPA with its diacritics as characters of their own, except in ç, which is a letter."""
    return unicodedata.normalize("NFD", ipa).replace("c\u0327", "\u00e7")
