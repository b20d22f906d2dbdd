"""Words of the pronunciation list are said as the list says."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from helpers.spoken_text import items_of, said, shown

from streaming_server.errors import BadValue
from streaming_server.text.items import Said
from streaming_server.text.pronunciations import LONGEST_WORD, Pronunciation, Pronunciations
from streaming_server.text.spoken import SpokenText
from streaming_server.text.style import SpeakingStyle

LIST = Pronunciations(
    {
        "": {"Anna": Pronunciation("Ahna")},
        "en": {
            "nginx": Pronunciation("engine x"),
            "C++": Pronunciation("see plus plus"),
            ".NET": Pronunciation("dot net"),
            "SQL": Pronunciation("sequel"),
            "tomato": Pronunciation(ipa="təˈmɑːtoʊ"),
            "GIF": Pronunciation("jif", "dʒɪf"),
            "3.11": Pronunciation("three eleven"),
        },
        "en-GB": {"SQL": Pronunciation("S Q L")},
        "de": {"Baguette": Pronunciation("Bagett")},
        "ru": {"Кафе": Pronunciation("кафэ")},
        "ja": {"東京": Pronunciation("とうきょう"), "カフェ": Pronunciation("かふぇー")},
    }
)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("NGINX, nginx.", "engine x, engine x."),
        ("nginxy mynginx", "nginxy mynginx"),
        ("C++ and .NET here", "see plus plus and dot net here"),
        ("SQL's (SQL) SQL-based", "sequel's (sequel) sequel-based"),
        ("A tomato", "A tomato"),
        ("A GIF", "A jif"),
        ("Python 3.11", "Python three eleven"),
        ("**nginx**", "engine x"),
        ("Anna", "Ahna"),
    ],
)
def test_whole_words_in_any_case(written: str, spoken: str) -> None:
    assert said(written, pronunciations=lambda: LIST) == spoken


def test_accents_are_found_however_they_are_encoded() -> None:
    for written in ("Кафе\u0301", "Кафе́"):
        words = Pronunciations({"ru": {"кафе́": Pronunciation("кафэ")}})
        assert said(written, pronunciations=lambda words=words: words, language="ru") == "кафэ"
    words = Pronunciations({"en": {"Zoé": Pronunciation("Zo-ay")}})
    assert said("Zoe\u0301 and Zoé", pronunciations=lambda: words) == "Zo-ay and Zo-ay"


def test_each_language_has_its_own_words() -> None:
    assert said("SQL Baguette", pronunciations=lambda: LIST, language="en-GB") == "S Q L Baguette"
    assert said("SQL Baguette Anna", pronunciations=lambda: LIST, language="de-AT") == "SQL Bagett Ahna"


def test_any_number_of_language_tags_takes_no_more_memory() -> None:
    """Clients choose the tags of their requests."""
    words = Pronunciations({"": {f"word{number}": Pronunciation("x") for number in range(1000)}})
    tracemalloc.start()
    try:
        for number in range(200):
            assert list(words.find("word1", f"en-x-{number}"))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_many_entries_with_the_same_beginning_are_found_quickly() -> None:
    words = Pronunciations({"": {f"New York {number}": Pronunciation("x") for number in range(5000)}})
    list(words.find("New", "en"))
    began = time.process_time()
    assert len(list(words.find("New York. " * 500 + "New York 7", "en"))) == 1
    assert time.process_time() - began < 8e-6 * 5000 * 10


def test_a_word_in_another_script_follows_the_languages_written_in_it() -> None:
    assert (
        said("SQL, кафе, 東京, カフェ.", pronunciations=lambda: LIST) == "sequel, кафэ, とうきょう, かふぇー."
    )
    assert said("кафе Baguette", pronunciations=lambda: LIST, language="uk") == "кафе Baguette"


def test_uses_ipa_if_the_engine_supports_it() -> None:
    assert items_of(["a tomato"], pronunciations=lambda: LIST, ipa=True)[1] == Said(
        "tomato", 2, 8, literal=False, settled=True, ipa="təˈmɑːtoʊ"
    )


@pytest.mark.parametrize(
    "word",
    ["", "x" * (LONGEST_WORD + 1), "?", "a\n", " a", "two  words", "two words ", "Dr. ?", "a, b", "+", "."],
)
def test_rejects_invalid_words(word: str) -> None:
    with pytest.raises(BadValue):
        Pronunciations({"en": {word: Pronunciation("x")}})


ORDINARY = Pronunciations(
    {
        "en": {
            "Dr.": Pronunciation("doktor"),
            "A.I.": Pronunciation("ay eye"),
            "New York": Pronunciation("nu yawk"),
            "New York City": Pronunciation("nu yawk town"),
            "York": Pronunciation("yark"),
            "O'Brien": Pronunciation("oh bryan"),
            "St. John's": Pronunciation("sinjins"),
            "rock & roll": Pronunciation("rocknroll"),
            "and/or": Pronunciation("andor"),
            "'tis": Pronunciation("it is"),
            "C++": Pronunciation("see plus plus"),
            "Zoé Née": Pronunciation("zo nay"),
        },
        "ru": {"Нью Йорк": Pronunciation("нюёрк")},
    }
)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Dr. Who, dr.\nStrange", "doktor Who, doktor\nStrange"),
        ("A.I. and a.i., A.I", "ay eye and ay eye, A.I"),
        ("I like A.I. It is new", "I like ay eye. It is new"),
        ("I like A.I.  “The” best", "I like ay eye.  “The” best"),
        ("A.I. Italians, A.I., A.I. labs", "ay eye Italians, ay eye, ay eye labs"),
        ("Dr. The, A.I. I", "doktor The, ay eye. I"),
        ("A.I.   It, A.I.    It, A.I. ((It", "ay eye.   It, ay eye    It, ay eye. ((It"),
        ("New York, new york", "nu yawk, nu yawk"),
        ("New York City. New York cities", "nu yawk town. nu yawk cities"),
        ("New\nYork and New\u00a0York", "nu yawk and nu yawk"),
        ("New\n\nYork", "New\n\nyark"),
        ("New York-based, Old York", "nu yawk-based, Old yark"),
        ("Newer York, New Yorker, renew York", "Newer yark, New Yorker, renew yark"),
        ("O'Brien, O\u2019Brien's", "oh bryan, oh bryan's"),
        ("St. John's, St.  John's, St. Johns", "sinjins, sinjins, Saint Johns"),
        ("rock & roll", "rocknroll"),
        ("'Tis and/or C++, C+++", "it is andor see plus plus, C+++"),
        ("Zoe\u0301 Ne\u0301e", "zo nay"),
        ("**New** *York*", "nu yawk"),
        ("в Нью Йорк", "в нюёрк"),
        ("In New", "In New"),
        ("A dr", "A dr"),
    ],
)
def test_entries_with_dots_apostrophes_and_spaces(written: str, spoken: str) -> None:
    assert said(written, pronunciations=lambda: ORDINARY) == spoken
    whole = items_of([written], pronunciations=lambda: ORDINARY)
    for at in range(len(written)):
        assert items_of([written[:at], written[at:]], pronunciations=lambda: ORDINARY) == whole
    assert items_of(written, pronunciations=lambda: ORDINARY) == whole


def test_an_entry_of_several_words_is_said_for_all_that_is_written() -> None:
    assert items_of(["In New York."], pronunciations=lambda: ORDINARY)[1] == Said(
        "nu yawk", 3, 11, literal=False, settled=True
    )


def test_a_word_that_may_begin_several_is_held_no_longer_than_needed() -> None:
    text = SpokenText(SpeakingStyle(pronunciations=lambda: ORDINARY))
    heard = ["".join(map(shown, text.push(delta))) for delta in ("A New ", "dress. ", "New ", "York ", "x ")]
    assert heard == ["A ", "New dress. ", "", "", "nu yawk x "]


@pytest.mark.parametrize("said_for", [Pronunciation(), Pronunciation(" "), Pronunciation("x" * 201)])
def test_rejects_a_word_without_a_pronunciation(said_for: Pronunciation) -> None:
    with pytest.raises(BadValue):
        Pronunciations({"en": {"word": said_for}})
