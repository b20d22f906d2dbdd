"""Text becomes phrases of phonemes, each of which the model speaks in one go."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import hibari
from hibari.g2p import G2P, NON_QUOTE_PUNCTS, PUNCTS
from hibari.g2p.normalize import normalize

from streaming_server.engines.hibari.ipa import to_phonemes
from streaming_server.engines.hibari.written_words import Span, WordAlignment
from streaming_server.errors import BadValue
from streaming_server.text.language import ENGLISH, foreign_spans
from streaming_server.types import Pronounced

ASSETS = Path(hibari.__file__).parent / "assets"

LONGEST_PHRASE = 150
"""Phonemes. The model takes some 22 ms for so many, 9 s of speech."""

LONG_SENTENCE = 60
"""Phonemes. A longer sentence at the start of a turn is split after its first clause."""

SHORTEST_CLAUSE = 12
"""Phonemes. A shorter clause, such as "Well,", is not split off."""

_LINE = re.compile(r"[^\n]*\S[^\n]*")
_ENDLESS_NUMBER = re.compile(r"\d{19,}")
_OTHER_DIGIT = re.compile("[\u2460-\u24ff\u2776-\u2793]")
_QUIET = PUNCTS | {" "}

_GREEK_LETTER = re.compile(r"(?<![^\W\d_])[Α-ΡΣ-Ωα-ω](?![^\W\d_])")
"""A Greek letter without another letter beside it; the lexicon takes many for other words."""

_Given = dict[int, str]
"""Phonemes by number of a word; empty for words that are spoken together with the one before."""


@dataclass(frozen=True, slots=True)
class SpokenWords:
    """Written words and the ids they are spoken with.

    spans: code points into the text; more than one where words were rewritten together. start, end: places
    in `Phrase.ids`. A space before the words is theirs, as the model already speaks them then; punctuation is
    not, as it is a pause.
    """

    spans: tuple[Span, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Phrase:
    """One run of the model: a sentence, or part of a long one.

    ends_sentence: whether the pause after it is a full one.
    """

    ids: tuple[int, ...]
    words: tuple[SpokenWords, ...]
    ends_sentence: bool


@dataclass(slots=True)
class _Group:
    """Phonemes that belong together, the punctuation after them included, and the numbers of their words.

    sounding: how many of the phonemes are heard, those up to the punctuation. whole: whether a phrase may end
    after the group; not within words that are one of the client's.
    """

    first: int
    last: int
    phonemes: str = ""
    sounding: int = 0
    whole: bool = True

    def add(self, phonemes: str) -> None:
        self.phonemes += phonemes
        if not _QUIET.issuperset(phonemes):
            self.sounding = len(self.phonemes.rstrip())

    def is_full(self, phonemes: str) -> bool:
        """Return whether the phrase would be too long with these phonemes."""
        return len(self.phonemes) + len(phonemes) > LONGEST_PHRASE

    @property
    def ends_clause(self) -> bool:
        ends = self.phonemes[-1:] == " " and self.phonemes.rstrip()[-1:] in NON_QUOTE_PUNCTS
        return ends and self.whole


class PhonemeReader:
    """Hibari's front end: a lexicon, rules, and a small network for unknown words."""

    def __init__(self, *, british: bool = False) -> None:
        self._british = british
        self._g2p = G2P(british=british)
        self._vocabulary: dict[str, int] = json.loads((ASSETS / "vocab.json").read_text("utf-8"))
        # An unknown word loads another network; do that before the first request.
        self._g2p("zibbernock")

    def read(
        self,
        text: str,
        *,
        opening: bool = False,
        pronounced: Sequence[Pronounced] = (),
        units: Sequence[Span] = (),
    ) -> Iterator[Phrase]:
        """Yield the phrases of a text.

        opening: the first is to be short, so that sound comes soon. pronounced, units: as in `Utterance`. IPA
        that English has no phonemes for is ignored. A unit is in one phrase if it fits. Words of other
        scripts are not spoken, unless they are pronounced.
        """
        given_words = frozenset(text[part.start : part.end] for part in pronounced)
        for start, line in _lines(text):
            alignment = WordAlignment(line, partial(_normalized, given_words=given_words))
            words = [(start + first, start + last) for first, last in alignment.words]
            given = self._given(words, pronounced)
            inside = _inside(words, units)
            for groups in self._sentences(alignment, given):
                for group in groups:
                    group.whole = group.last not in inside
                parts = _divide(groups, opening=opening)
                opening = False
                for part in parts:
                    yield self._phrase(part, words, part is parts[-1])

    def _given(self, words: list[Span], pronounced: Sequence[Pronounced]) -> _Given:
        """Return the phonemes that are given for words, by number of the word: all at the first of a part."""
        given: _Given = {}
        for part in pronounced:
            inside = [n for n, (start, end) in enumerate(words) if start < part.end and part.start < end]
            if inside and (phonemes := to_phonemes(part.ipa, self._vocabulary, british=self._british)):
                given |= dict.fromkeys(inside, "")
                given[inside[0]] = phonemes
        return given

    def _sentences(self, alignment: WordAlignment, given: _Given) -> list[list[_Group]]:
        """Return the sentences of a line, in groups that together hold all its words.

        A word that is not spoken is with the one before it.
        """
        sentences: list[list[_Group]] = []
        for start, sentence in _sentences(alignment.normalized):
            if groups := self._groups(start, sentence, alignment, given):
                if sentences:
                    sentences[-1][-1].last = groups[0].first
                else:
                    groups[0].first = 0
                sentences.append(groups)
        if sentences:
            sentences[-1][-1].last = len(alignment.words)
        return sentences

    def _groups(self, start: int, sentence: str, alignment: WordAlignment, given: _Given) -> list[_Group]:
        """Return the groups of a sentence that stands at `start` of the normalized text."""
        groups: list[_Group] = []
        tokens = _with_given(self._tokens(start, sentence, alignment), given)
        for phonemes, first, last in _short(tokens):
            if _QUIET.issuperset(phonemes):
                if groups:
                    groups[-1].add(phonemes)
                continue
            if not groups or (first < last and first >= groups[-1].last) or groups[-1].is_full(phonemes):
                if groups:
                    groups[-1].last = first = max(first, min(groups[-1].last, last))
                groups.append(_Group(first, last))
            groups[-1].add(phonemes)
            groups[-1].last = max(groups[-1].last, last)
        return groups

    def _tokens(self, start: int, sentence: str, alignment: WordAlignment) -> Iterator[tuple[str, int, int]]:
        """Yield each token's phonemes, with a space where one follows, and the range of its words."""
        at = 0
        try:
            tokens = self._g2p.phonemize_tokens(self._g2p.tokenize(sentence))
        except (IndexError, KeyError, ValueError) as error:
            raise BadValue("The text holds characters that this engine cannot read.") from error
        for token in tokens:
            # A token's text is missing only where `[text](/phonemes/)` stood.
            begin = max(at, sentence.find(token.text, at))
            at = min(len(sentence), begin + len(token.text))
            phonemes = "".join(c for c in token.phonemes or "" if c in self._vocabulary)
            yield phonemes + " " * bool(token.whitespace), *alignment.words_at(start + begin, start + at)

    def _phrase(self, groups: list[_Group], words: list[Span], ends_sentence: bool) -> Phrase:
        phonemes = ""
        spoken = []
        for group in groups:
            begin = len(phonemes) + 1
            start = begin - 1 if phonemes[-1:] == " " and phonemes[-2:-1] not in PUNCTS else begin
            phonemes += group.phonemes
            if spans := tuple(words[group.first : group.last]):
                spoken.append(SpokenWords(spans, start, begin + group.sounding))
        ids = (0, *(self._vocabulary[character] for character in phonemes.rstrip()), 0)
        return Phrase(ids, tuple(spoken), ends_sentence)


def _inside(words: list[Span], units: Sequence[Span]) -> set[int]:
    """Return the numbers of the words that a unit holds, except the first word of each."""
    inside: set[int] = set()
    for begin, end in units:
        held = [number for number, (start, _) in enumerate(words) if begin <= start < end]
        inside.update(held[1:])
    return inside


def _with_given(tokens: Iterator[tuple[str, int, int]], given: _Given) -> Iterator[tuple[str, int, int]]:
    """Replace the phonemes of words that have been given others, up to the punctuation after them."""
    spoken: set[int] = set()
    for phonemes, first, last in tokens:
        if first < last and first in given and not _QUIET.issuperset(phonemes):
            own = given[first] if first not in spoken else ""
            spoken.add(first)
            yield own + " " * phonemes.endswith(" "), first, last
        else:
            yield phonemes, first, last


def _normalized(line: str, given_words: Collection[str] = ()) -> str:
    """Return the line as Hibari normalizes it, in NFC, with the names of Greek letters.

    Digits that its number reader cannot take are replaced, and so are words of other scripts, in which it
    sees rare English words, except those that are given a pronunciation.
    """
    composed = unicodedata.normalize("NFC", line)
    for span in foreign_spans(composed, ENGLISH):
        if composed[span.start : span.end] not in given_words:
            composed = composed[: span.start] + " " * (span.end - span.start) + composed[span.end :]
    plain = _OTHER_DIGIT.sub(lambda match: f" {unicodedata.numeric(match[0], 0):g} ", composed)
    plain = _GREEK_LETTER.sub(_letter_name, plain)
    text: str = normalize(_ENDLESS_NUMBER.sub(lambda match: " ".join(match[0]), plain))
    return text


def _letter_name(match: re.Match[str]) -> str:
    """Return the name of a Greek letter, which ends its name in Unicode."""
    return unicodedata.name(match[0]).rpartition(" ")[2].lower().replace("lamda", "lambda")


def _short(tokens: Iterator[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    """Yield the tokens, those too long for a phrase in pieces, of which the first has the words."""
    for phonemes, first, last in tokens:
        yield phonemes[:LONGEST_PHRASE], first, last
        for at in range(LONGEST_PHRASE, len(phonemes), LONGEST_PHRASE):
            yield phonemes[at : at + LONGEST_PHRASE], last, last


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Return the lines of a text that are not blank, and where they start."""
    return ((match.start(), match[0]) for match in _LINE.finditer(text))


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield the sentences of a text, and where they start."""
    at = 0
    for sentence in hibari.Hibari.split_sentences(text):
        at = text.index(sentence, at)
        yield at, sentence
        at += len(sentence)


def _divide(groups: list[_Group], *, opening: bool) -> list[list[_Group]]:
    """Return the groups in parts that the model can speak in one go.

    A part ends with a clause if one of some length ends in time, else with a word.
    """
    parts: list[list[_Group]] = []
    while groups:
        length = sum(len(group.phonemes) for group in groups)
        short = opening and not parts and length > LONG_SENTENCE
        cut = _cut(groups, first=short) if short or length > LONGEST_PHRASE else len(groups)
        parts.append(groups[:cut])
        groups = groups[cut:]
    return parts


def _cut(groups: list[_Group], *, first: bool) -> int:
    """Return the number of groups in the next part: up to the end of the first clause, or all that fit."""
    clause, word, fits, length = 0, 0, 1, 0
    for count, group in enumerate(groups, start=1):
        length += len(group.phonemes)
        if length > LONGEST_PHRASE:
            break
        fits = count
        if group.whole:
            word = count
        if group.ends_clause and length >= SHORTEST_CLAUSE:
            clause = count
            if first:
                break
    return clause or word or fits
