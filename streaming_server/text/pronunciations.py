"""The list of words that are not spoken as they are written."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
"""A word of a list: "don't", "O'Brien", "Dr.", "A.I.", "node.js", "C++", ".NET", "GPT-4", "New York"."""
_RUN = regex.compile(r"[^\W_]+")
_BEFORE = frozenset(".'’")
"""Characters with which a word may begin in front of its first letter."""
_SPACE = regex.compile(r"[^\S\n]?\n[^\S\n]?|[^\S\n]{1,2}")
"""Whitespace between the words of an entry; a blank line does not match."""


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
    Raise BadValue for an invalid word.
    """

    def __init__(self, entries: Mapping[str, Mapping[str, Pronunciation]] | None = None) -> None:
        self._entries = {
            language.lower(): {word_key(word): _checked(word, said) for word, said in words.items()}
            for language, words in (entries or {}).items()
        }
        self._in_force: dict[str, Mapping[str, _Node]] = {}

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
            for found in self._beginning_with(run, language):
                if found is None and more:
                    held = run.start() - (text[run.start() - 1 : run.start()] in _BEFORE)
                    yield max(at, held), len(text), None
                    return
                if found is not None and found[0] >= at:
                    yield found
                    at = found[1]
                    break

    def _beginning_with(
        self, run: regex.Match[str], language: str
    ) -> Iterator[tuple[int, int, Pronunciation] | None]:
        """Iterate over the words in force that begin with a run and follow in the text, the longest first.

        None stands for words that the end of the text cuts off.
        """
        key = word_key(run[0])
        for tag in (language, *foreign_languages(key, language)):
            if (node := self._words(tag).get(key)) is not None:
                yield from node.found(run.string, run.start(), run.end())

    def _words(self, language: str) -> Mapping[str, _Node]:
        """Return the words in force for a language, by their first run."""
        tag = language.lower().replace("_", "-")
        primary = tag.split("-")[0]
        # Tags without words of their own share a mapping: clients may name any number of them.
        known = next((name for name in (tag, primary) if name in self._entries), "")
        if known not in self._in_force:
            layers = (self._entries.get(name, {}) for name in ("", primary, known))
            words = {word: said for layer in layers for word, said in layer.items()}
            self._in_force[known] = _by_first_run(words)
        return self._in_force[known]


@dataclass(slots=True)
class _Node:
    """The common part of words that begin with the same runs of letters and digits.

    longer: nodes by what is between the last run and the next, and by that run. ending: what is before and
    after the runs of each word that has no more, and how it is said.
    """

    longer: dict[str, dict[str, _Node]] = field(default_factory=dict)
    ending: list[tuple[str, str, Pronunciation]] = field(default_factory=list)

    def found(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, Pronunciation] | None]:
        """Iterate over the words whose runs stand in a text from `start` on, up to `end` as far as this node.

        The longest come first. None stands for words that the end of the text cuts off.
        """
        for between, nodes in self.longer.items():
            begin = _after(between, text, end)
            if begin is None:
                continue
            if begin >= len(text):
                yield None
            elif (run := _RUN.match(text, begin)) and (node := nodes.get(word_key(run[0]))) is not None:
                yield from node.found(text, start, run.end())
        for before, after, said in self.ending:
            stop = _after(after, text, end)
            if stop is None or (after and text[stop : stop + 1] == after[-1]):
                continue
            if stop > len(text):
                yield None
            elif not before or _stands_before(before, text, start):
                yield start - len(before), stop, said


def _stands_before(marks: str, text: str, at: int) -> bool:
    """Return whether marks are in front of `at`, and not part of the word in front of them."""
    start = at - len(marks)
    return start >= 0 and _after(marks, text, start) == at and not _RUN.match(text[max(0, start - 1) : start])


def word_key(word: str) -> str:
    """Return the key of a word, the same for any letter case, apostrophe and encoding of its accents."""
    return unicodedata.normalize("NFC", word.casefold()).replace("’", "'")


def pronunciation_problem(word: str, said: Pronunciation) -> tuple[str, str] | None:
    """Return the field at fault of an entry, and what is wrong with it; None if it can be used."""
    if len(word) > LONGEST_WORD or not WORD.fullmatch(word):
        shown = word[:LONGEST_WORD]
        return "word", (
            f"{shown!r} is not a word or phrase; use letters and digits, joined or followed by"
            " . ' & + # - / or _, with single spaces between words."
        )
    for name, spelling in (("respelling", said.respelling), ("ipa", said.ipa)):
        if spelling is not None and not spelling.strip():
            return name, f"{word!r} needs a respelling or IPA."
        if spelling is not None and len(spelling) > LONGEST_SPELLING:
            return name, f"At most {LONGEST_SPELLING} characters may be said for {word!r}."
    if said.respelling is None and said.ipa is None:
        return "word", f"{word!r} needs a respelling or IPA."
    return None


def _checked(word: str, said: Pronunciation) -> Pronunciation:
    """Raise BadValue for an entry that cannot be used."""
    if (problem := pronunciation_problem(word, said)) is not None:
        field, message = problem
        raise BadValue(message, field=field)
    return said


def _by_first_run(words: Mapping[str, Pronunciation]) -> dict[str, _Node]:
    """Return nodes by the first run of their words. words: pronunciations by `word_key`."""
    first: dict[str, _Node] = {}
    for word, said in sorted(words.items(), key=lambda item: -len(item[0])):
        runs = list(_RUN.finditer(word))
        node = first.setdefault(runs[0][0], _Node())
        for left, right in pairwise(runs):
            between = word[left.end() : right.start()]
            node = node.longer.setdefault(between, {}).setdefault(right[0], _Node())
        node.ending.append((word[: runs[0].start()], word[runs[-1].end() :], said))
    return first


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
