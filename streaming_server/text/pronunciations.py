"""The list of words that are not spoken as they are written."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import regex

from streaming_server.errors import BadValue
from streaming_server.text.language import foreign_languages

LONGEST_WORD = 64
"""Characters of a word in the list."""
LONGEST_SPELLING = 200
"""Characters of what is said for it."""

WORD = regex.compile(r"(?:[^\W_](?:[\w.&'’+-]*[^\W_])?|(?<!\w)\.[^\W_][\w]*)[+#]{0,2}")
"""A whole word: "don't", "node.js", "C++", ".NET", "GPT-4"."""
_PART = regex.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """A word's pronunciation: spelled in other words, in IPA, or both.

    An engine that reads no IPA says the respelling, or, without one, the word as it is written.
    """

    respelling: str | None = None
    ipa: str | None = None


class Pronunciations:
    """Words and how to say them, by language. Immutable.

    entries: language (a BCP 47 tag, or "" for all) to words to pronunciations. A regional tag also uses the
    words of its language. Letter case does not matter. Raises BadValue for a word that is no whole word.
    """

    def __init__(self, entries: Mapping[str, Mapping[str, Pronunciation]] | None = None) -> None:
        self._entries = {
            language.lower(): {_key(word): _checked(word, said) for word, said in words.items()}
            for language, words in (entries or {}).items()
        }
        self._in_force: dict[str, Mapping[str, Pronunciation]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pronunciations) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(tuple(sorted((language, len(words)) for language, words in self._entries.items())))

    def __bool__(self) -> bool:
        """True if there is any word."""
        return any(self._entries.values())

    def find(self, text: str, language: str) -> Iterable[tuple[int, int, Pronunciation]]:
        """Find the words of the list in a text, in order. language: that of the text, by its tag.

        A word in the script of other languages, such as one in Cyrillic letters in English text, follows the
        words of those.
        """
        for match in WORD.finditer(text):
            if (said := self._said(match[0], language)) is not None:
                yield match.start(), match.end(), said
                continue
            for part in _PART.finditer(text, match.start(), match.end()):
                if (said := self._said(part[0], language)) is not None:
                    yield part.start(), part.end(), said

    def _said(self, written: str, language: str) -> Pronunciation | None:
        word = _key(written)
        said = self._words(language).get(word)
        if said is not None:
            return said
        others = (self._words(other).get(word) for other in foreign_languages(word, language))
        return next(filter(None, others), None)

    def _words(self, language: str) -> Mapping[str, Pronunciation]:
        """Return the words in force for a language, case-folded."""
        tag = language.lower().replace("_", "-")
        primary = tag.split("-")[0]
        # Tags without words of their own share a mapping: clients may name any number of them.
        known = next((name for name in (tag, primary) if name in self._entries), "")
        if known not in self._in_force:
            layers = (self._entries.get(name, {}) for name in ("", primary, known))
            self._in_force[known] = {word: said for layer in layers for word, said in layer.items()}
        return self._in_force[known]


def _key(word: str) -> str:
    """Return the key of a word, the same for any letter case and any encoding of its accents."""
    return unicodedata.normalize("NFC", word.casefold())


def _checked(word: str, said: Pronunciation) -> Pronunciation:
    if len(word) > LONGEST_WORD or not WORD.fullmatch(word):
        raise BadValue(f"{word[:LONGEST_WORD]!r} is not a whole word.", field="word")
    spellings = [spelling for spelling in (said.respelling, said.ipa) if spelling is not None]
    if not spellings or any(not spelling.strip() for spelling in spellings):
        raise BadValue(f"{word!r} needs a respelling or IPA.", field="word")
    if any(len(spelling) > LONGEST_SPELLING for spelling in spellings):
        raise BadValue(f"At most {LONGEST_SPELLING} characters may be said for {word!r}.", field="word")
    return said
