"""Phrases and the written words they cover."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_server.engines.hibari.ipa import to_phonemes
from streaming_server.engines.hibari.phonemes import ASSETS, LONGEST_PHRASE, PhonemeReader, Phrase
from streaming_server.engines.hibari.written_words import WordAlignment, written_words
from streaming_server.types import Pronounced

VOCABULARY: dict[str, int] = json.loads((ASSETS / "vocab.json").read_text("utf-8"))

LONG = (
    "When the storm finally passed over the valley, the farmers came out of their houses and looked at what "
    "was left of the fields, which was not very much at all, considering everything that they had done."
)


def words_of(text: str, phrases: list[Phrase]) -> list[tuple[str, ...]]:
    return [
        tuple(text[start:end] for start, end in words.spans) for phrase in phrases for words in phrase.words
    ]


def spans_of(phrases: list[Phrase]) -> list[tuple[int, int]]:
    return [span for phrase in phrases for words in phrase.words for span in words.spans]


def test_words_quote_the_written_text(reader: PhonemeReader) -> None:
    text = "It costs $3.50 — “well-known”, 5 km away."
    phrases = list(reader.read(text))
    assert words_of(text, phrases) == [
        ("It",), ("costs",), ("$3.50",), ("well-known",), ("5",), ("km",), ("away",)
    ]  # fmt: skip


def test_adjacent_rewritten_words_are_separate(reader: PhonemeReader) -> None:
    text = "Meet at 9:30 am, Dr. Smith."
    assert words_of(text, list(reader.read(text))) == [
        ("Meet",), ("at",), ("9:30",), ("am",), ("Dr",), ("Smith",)
    ]  # fmt: skip


def test_words_rewritten_together_share_a_span(reader: PhonemeReader) -> None:
    text = "On 5 Jan. we met."
    assert words_of(text, list(reader.read(text)))[:2] == [("On",), ("5", "Jan")]


def test_digits_of_any_kind_are_read(reader: PhonemeReader) -> None:
    text = "① is not ½ or ²; ⑳ is 123456789012345678901000000000000000000."
    assert spans_of(list(reader.read(text))) == written_words(text)


def test_decomposed_letters_are_read_as_composed_ones(reader: PhonemeReader) -> None:
    text = "Zoë had a café au lait — naïve!"
    decomposed = unicodedata.normalize("NFD", text)
    (phrase,), (other,) = list(reader.read(text)), list(reader.read(decomposed))
    assert other.ids == phrase.ids
    assert words_of(decomposed, [other]) == [
        tuple(unicodedata.normalize("NFD", word) for word in words) for words in words_of(text, [phrase])
    ]


def test_a_date_does_not_end_a_sentence(reader: PhonemeReader) -> None:
    text = "It was on Jan. 5th in town."
    (phrase,) = reader.read(text)
    assert [text[start:end] for start, end in spans_of([phrase])][3:5] == ["Jan", "5th"]


def test_each_sentence_and_each_line_is_a_phrase(reader: PhonemeReader) -> None:
    phrases = list(reader.read("One is here. Two is there!\nA title\n\nThree?"))
    assert len(phrases) == 4
    assert all(phrase.ends_sentence for phrase in phrases)


def test_a_long_sentence_that_opens_a_turn_begins_with_a_clause(reader: PhonemeReader) -> None:
    opening = list(reader.read(LONG, opening=True))
    assert words_of(LONG, opening[:1])[-1] == ("valley",)
    assert not opening[0].ends_sentence
    assert opening[-1].ends_sentence
    later = list(reader.read(LONG))
    assert words_of(LONG, later[:1])[-1] != ("valley",)
    assert spans_of(opening) == spans_of(later) == written_words(LONG)


def test_phrases_have_a_maximum_length(reader: PhonemeReader) -> None:
    text = "word after word " * 60
    phrases = list(reader.read(text))
    assert max(len(phrase.ids) for phrase in phrases) <= LONGEST_PHRASE + 2
    assert spans_of(phrases) == written_words(text)


def test_a_unit_is_not_divided(reader: PhonemeReader) -> None:
    text = "We met in the town on the sixth of May, nineteen ninety-eight, and stayed there for a week or so."
    unit = (text.index("the sixth"), text.index(", and"))
    first = next(iter(reader.read(text, opening=True, units=[unit])))
    assert words_of(text, [first])[-1] == ("ninety-eight",)
    divided = next(iter(reader.read(text, opening=True)))
    assert words_of(text, [divided])[-1] == ("May",)


def test_an_overlong_word_is_split(reader: PhonemeReader) -> None:
    text = f"It is {'7' * 300}, is it?"
    phrases = list(reader.read(text))
    assert max(len(phrase.ids) for phrase in phrases) <= LONGEST_PHRASE + 2
    assert sum(len(phrase.ids) for phrase in phrases) > 1000
    assert spans_of(phrases) == written_words(text)


def test_text_without_words_gives_no_phrase(reader: PhonemeReader) -> None:
    assert list(reader.read("… — ?!\n \n")) == []


WORDS = (
    "hello the don't I'd well-known zibble's “quoted” (aside) é 日本 C# * & — … . ! ? "
    "$3.50 £2m 9:30 am 5km 20°C 1/2 #1 Jan. 5th 555-1234 2*3=6 50% No. 7 Henry VIII "
    "Dr. Smith, e.g. a@b.com www.x.org"
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=14).map(" ".join))
def test_every_written_word_occurs_once_in_order(reader: PhonemeReader, text: str) -> None:
    phrases = list(reader.read(text))
    if phrases:
        assert spans_of(phrases) == written_words(text)
    for phrase in phrases:
        assert len(phrase.ids) <= LONGEST_PHRASE + 2
        ends = [0]
        for words in phrase.words:
            assert ends[-1] <= words.start < words.end < len(phrase.ids)
            ends.append(words.end)


def test_alignment_finds_words_after_rewritten_ones() -> None:
    alignment = WordAlignment("pay 5 km now", lambda text: text.replace("km", "kilometers"))
    assert alignment.words == [(0, 3), (4, 5), (6, 8), (9, 12)]
    assert alignment.words_at(0, 3) == (0, 1)
    assert alignment.words_at(6, 16) == (2, 3)
    assert alignment.words_at(17, 20) == (3, 4)


def phonemes_of(text: str, reader: PhonemeReader, *parts: tuple[str, str]) -> list[tuple[str, str]]:
    """Return each word and its phonemes, with IPA given for some."""
    pronounced = [Pronounced(text.index(word), text.index(word) + len(word), ipa) for word, ipa in parts]
    letters = {number: letter for letter, number in VOCABULARY.items()}
    return [
        (
            " ".join(text[start:end] for start, end in words.spans),
            "".join(letters[number] for number in phrase.ids[words.start : words.end]).lstrip(),
        )
        for phrase in reader.read(text, pronounced=pronounced)
        for words in phrase.words
    ]


def test_ipa_is_spoken_instead_of_the_words(reader: PhonemeReader) -> None:
    text = "The GIF, the state of the art, 5 kg tomato."
    said = phonemes_of(text, reader, ("GIF", "dʒɪf"), ("state of the art", "ˈsoʊtə"), ("tomato", "təˈmɑːtoʊ"))
    assert ("GIF", "ʤɪf") in said
    assert ("state of the art", "sˈOtə") in said
    assert ("kg", "kˈɪləɡɹˌæmz") in said
    assert said[-1] == ("tomato", "təmˈɑtO")
    assert [word for word, _ in said][-3:] == ["5", "kg", "tomato"]


def test_a_sound_without_a_phoneme_leaves_the_word_as_it_is(reader: PhonemeReader) -> None:
    assert phonemes_of("A tomato.", reader, ("tomato", "ʘ")) == phonemes_of("A tomato.", reader)


@pytest.mark.parametrize(
    ("ipa", "american", "british"),
    [
        ("həˈləʊ", "həlˈO", "həlˈQ"),
        ("ˈtʃɜːtʃ", "ʧˈɜɹʧ", "ʧˈɜːʧ"),
        ("/ˈnæʃ.nəl/", "nˈæʃnəl", "nˈaʃnəl"),
        ("ʒɔ̃", "ʒɔn", "ʒɔn"),
        ("ˈkɪtn̩", "kˈɪtən", "kˈɪtən"),
        ("ˈaɪ ˈæm", "ˈI ˈæm", "ˈI ˈam"),
        ("", None, None),
        ("ˈʘa", None, None),
    ],
)
def test_ipa_becomes_phonemes(ipa: str, american: str | None, british: str | None) -> None:
    assert to_phonemes(ipa, VOCABULARY, british=False) == american
    assert to_phonemes(ipa, VOCABULARY, british=True) == british


@pytest.mark.parametrize(("sign", "name"), [("Σ", "sigma"), ("λ", "lambda"), ("π", "pi"), ("Ω", "omega")])
def test_a_single_greek_letter_is_read_by_its_name(reader: PhonemeReader, sign: str, name: str) -> None:
    (written,), (spelled,) = (list(reader.read(f"The sign {word} is known.")) for word in (sign, name))
    assert written.ids == spelled.ids
    assert written.words[2].spans == ((9, 10),)
