"""The list of words that are not spoken as they are written."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import regex

from streaming_server.errors import BadValue
from streaming_server.text.language import foreign_languages

LONGEST_WORD = 64
"""Characters of a word in the list."""
LONGEST_SPELLING = 200
"""Characters of what is said for it."""

_WORD = r"[.'’]?[^\W_][\w.&'’/+#-]*"
WORD = regex.compile(rf"{_WORD}(?: (?:&|{_WORD}))*")
"""What a list may hold: "don't", "O'Brien", "Dr.", "A.I.", "node.js", "C++", ".NET", "GPT-4", "New York"."""
_RUN = regex.compile(r"[^\W_]+")
_SPACE = regex.compile(r"[^\S\n]?\n[^\S\n]?|[^\S\n]{1,2}")
"""A space between words as clients write it; a blank line is none."""


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """A word's pronunciation: spelled in other words, in IPA, or both.

    An engine that reads no IPA says the respelling, or, without one, the word as it is written.
    """

    respelling: str | None = None
    ipa: str | None = None


class Pronunciations:
    """Words and how to say them, by language. Immutable.

    entries: language (a BCP 47 tag, or "" for all) to words to pronunciations. A word may be several, with
    spaces between them. A regional tag also uses the words of its language. Letter case does not matter.
    Raises BadValue for a word that is none.
    """

    def __init__(self, entries: Mapping[str, Mapping[str, Pronunciation]] | None = None) -> None:
        self._entries = {
            language.lower(): {word_key(word): _checked(word, said) for word, said in words.items()}
            for language, words in (entries or {}).items()
        }
        self._in_force: dict[str, Mapping[str, list[_Spelled]]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pronunciations) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(tuple(sorted((language, len(words)) for language, words in self._entries.items())))

    def __bool__(self) -> bool:
        """True if there is any word."""
        return any(self._entries.values())

    def find(
        self, text: str, language: str, *, more: bool = False
    ) -> Iterator[tuple[int, int, Pronunciation | None]]:
        """Find the words of the list in a text, in order; of several that begin at one place the longest.

        language: that of the text, by its tag. A word in the script of other languages, such as one in
        Cyrillic letters in English text, follows the words of those. more: whether text may follow. Then a
        last item without a pronunciation is the rest of the text that may be a word of the list, or part of
        one, depending on what follows.
        """
        at = 0
        for run in _RUN.finditer(text):
            if run.start() < at:
                continue
            for spelled in self._beginning_with(run[0], language):
                start = run.start() - len(spelled.before)
                if start < at or not spelled.begins(text, start):
                    continue
                end = spelled.end(text, run.end())
                if end is None and more:
                    yield start, len(text), None
                    return
                if end:
                    yield start, end, spelled.said
                    at = end
                    break

    def _beginning_with(self, run: str, language: str) -> Iterator[_Spelled]:
        """Iterate over the words in force that begin with these letters, the longest first."""
        key = word_key(run)
        for tag in (language, *foreign_languages(key, language)):
            yield from self._words(tag).get(key, ())

    def _words(self, language: str) -> Mapping[str, list[_Spelled]]:
        """Return the words in force for a language, by their first letters up to anything else."""
        tag = language.lower().replace("_", "-")
        primary = tag.split("-")[0]
        # Tags without words of their own share a mapping: clients may name any number of them.
        known = next((name for name in (tag, primary) if name in self._entries), "")
        if known not in self._in_force:
            layers = (self._entries.get(name, {}) for name in ("", primary, known))
            words = {word: said for layer in layers for word, said in layer.items()}
            self._in_force[known] = _by_first_run(words)
        return self._in_force[known]


@dataclass(frozen=True, slots=True)
class _Spelled:
    """A word in parts: runs of letters and digits, and what is between them, all as by `word_key`.

    before, after: what is around the runs. rest: what precedes each run but the first, and that run.
    """

    before: str
    rest: tuple[tuple[str, str], ...]
    after: str
    said: Pronunciation

    def begins(self, text: str, start: int) -> bool:
        """Return whether the word may begin at an index, in front of its first run."""
        if not self.before:
            return True
        return _after(self.before, text, start) is not None and not _RUN.match(text[start - 1 : start])

    def end(self, text: str, at: int) -> int | None:
        """Return where the word ends whose first run ends at `at`; 0 for another word.

        None means that the text ends before it is decided.
        """
        for between, run in self.rest:
            begin = _after(between, text, at)
            if begin is None:
                return 0
            if begin >= len(text):
                return None
            found = _RUN.match(text, begin)
            if found is None or word_key(found[0]) != run:
                return 0
            at = found.end()
        end = _after(self.after, text, at)
        if end is None or (self.after and text[end : end + 1] == self.after[-1]):
            return 0
        return end if end <= len(text) else None


def word_key(word: str) -> str:
    """Return the key of a word, the same for any letter case, apostrophe and encoding of its accents."""
    return unicodedata.normalize("NFC", word.casefold()).replace("’", "'")


def pronunciation_problem(word: str, said: Pronunciation) -> tuple[str, str] | None:
    """Return the field at fault of an entry, and what is wrong with it; None if it can be used."""
    if len(word) > LONGEST_WORD or not WORD.fullmatch(word):
        shown = word[:LONGEST_WORD]
        return "word", (
            f"{shown!r} is not a word, or several with one space between them: write letters and digits, and"
            " between or after them any of . ' & + # - / and _."
        )
    for field, spelling in (("respelling", said.respelling), ("ipa", said.ipa)):
        if spelling is not None and not spelling.strip():
            return field, f"{word!r} needs a respelling or IPA."
        if spelling is not None and len(spelling) > LONGEST_SPELLING:
            return field, f"At most {LONGEST_SPELLING} characters may be said for {word!r}."
    if said.respelling is None and said.ipa is None:
        return "word", f"{word!r} needs a respelling or IPA."
    return None


def _checked(word: str, said: Pronunciation) -> Pronunciation:
    """Raise BadValue for an entry that cannot be used."""
    if (problem := pronunciation_problem(word, said)) is not None:
        field, message = problem
        raise BadValue(message, field=field)
    return said


def _by_first_run(words: Mapping[str, Pronunciation]) -> dict[str, list[_Spelled]]:
    """Return words in parts by their first run, the longest first. words: pronunciations by `word_key`."""
    found: dict[str, list[_Spelled]] = {}
    for word, said in sorted(words.items(), key=lambda item: -len(item[0])):
        runs = list(_RUN.finditer(word))
        rest = tuple((word[left.end() : right.start()], right[0]) for left, right in pairwise(runs))
        spelled = _Spelled(word[: runs[0].start()], rest, word[runs[-1].end() :], said)
        found.setdefault(runs[0][0], []).append(spelled)
    return found


def _after(marks: str, text: str, at: int) -> int | None:
    """Return the index after marks that are at `at`; None if they are not.

    If the text ends among them, the index is greater than its length.
    """
    for mark in marks:
        if at == len(text):
            return len(text) + 1
        if mark == " " and (space := _SPACE.match(text, at)):
            at = space.end()
        elif mark == text[at].replace("’", "'"):
            at += 1
        else:
            return None
    return at
