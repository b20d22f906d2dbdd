"""Kana readings of Japanese text.

eSpeak NG reads only kana and announces a kanji as a Chinese letter. SudachiPy (extra `japanese`) splits the
words and gives their readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from streaming_server.engines.espeak.spelled_text import Insertion
from streaming_server.engines.spoken_form import is_speakable
from streaming_server.errors import UnsupportedLanguage
from streaming_server.types import Pronounced

JAPANESE = "ja+"
"""The start of the names of the library's voices for Japanese."""

_KANJI = re.compile("[\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_LEFT_TO_LIBRARY = re.compile(r"[\x00-\x7f]{2,}|\W+")
"""Foreign words and numbers of several digits, which the dictionary spells out; punctuation."""

_PARTICLES = {"は": "ワ", "へ": "エ", "を": "オ"}
"""Particles that are not read as they are written."""

_BOUND = frozenset({"助詞", "助動詞", "接尾辞"})
"""Parts of speech that belong to the word before: particles, auxiliaries, suffixes."""
_CONNECTIVE = ("助詞", "接続助詞")
_AUXILIARY_VERB = ("動詞", "非自立可能")
_PREFIX, _NOUN, _PARTICLE = "接頭辞", "名詞", "助詞"


@dataclass(slots=True)
class _Word:
    """A word with its particles and endings. start, end: code points into the text."""

    start: int
    end: int
    reading: str


class JapaneseReader:
    """Reads Japanese text as kana. The dictionary is loaded with the first text."""

    def __init__(self) -> None:
        self._installed = all(map(find_spec, ("sudachipy", "sudachidict_small")))
        self._tokenizer: Any = None

    def readings(self, text: str, pronounced: Sequence[Pronounced] = ()) -> list[Insertion]:
        """Return what the library is to read for each word, with a space in front of it.

        Parts that are pronounced are left alone. Without SudachiPy or its dictionary kanji are left out.
        Raises UnsupportedLanguage if nothing is left then.
        """
        if self._installed:
            words = list(self._words(text))
        else:
            words = [_Word(*match.span(), "") for match in _KANJI.finditer(text)]
            if not pronounced and not is_speakable(_KANJI.sub("", text)):
                raise UnsupportedLanguage("Kanji cannot be read; install the extra japanese.")
        return [
            Insertion(word.start, word.end, f" {word.reading}")
            for word in words
            if not any(part.start < word.end and word.start < part.end for part in pronounced)
        ]

    def _words(self, text: str) -> Iterator[_Word]:
        """Yield the words of a text."""
        word: _Word | None = None
        before = ("", "")
        for token in self._load().tokenize(text):
            surface, kind = token.surface(), token.part_of_speech()[:2]
            if _LEFT_TO_LIBRARY.fullmatch(surface):
                reading = surface
            else:
                reading = _PARTICLES.get(surface, "") if kind[0] == _PARTICLE else ""
                reading = reading or token.reading_form() or surface
            if not re.search(r"\w", surface):
                if word is not None:
                    yield word
                word = None
            elif word is not None and _continues(before, kind):
                word.end, word.reading = token.end(), word.reading + reading
            else:
                if word is not None:
                    yield word
                word = _Word(token.begin(), token.end(), reading)
            before = kind
        if word is not None:
            yield word

    def _load(self) -> Any:
        if self._tokenizer is None:
            from sudachipy import Dictionary

            self._tokenizer = Dictionary(dict="small").tokenizer()
        return self._tokenizer


def _continues(before: tuple[str, str], kind: tuple[str, str]) -> bool:
    """Return whether a token of this kind belongs to the word that one of the kind `before` is part of."""
    compound = kind[0] == _NOUN and before[0] in (_NOUN, _PREFIX)
    auxiliary = kind == _AUXILIARY_VERB and (before == _CONNECTIVE or before[0] == _NOUN)
    return kind[0] in _BOUND or compound or auxiliary or before[0] == _PREFIX
