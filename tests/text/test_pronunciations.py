"""Words of the pronunciation list are said as the list says."""

from __future__ import annotations

import tracemalloc

import pytest
from helpers.spoken_text import items_of, said

from streaming_server.errors import BadValue
from streaming_server.text.items import Said
from streaming_server.text.pronunciations import LONGEST_WORD, Pronunciation, Pronunciations

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


def test_a_word_in_another_script_follows_the_languages_written_in_it() -> None:
    assert (
        said("SQL, кафе, 東京, カフェ.", pronunciations=lambda: LIST) == "sequel, кафэ, とうきょう, かふぇー."
    )
    assert said("кафе Baguette", pronunciations=lambda: LIST, language="uk") == "кафе Baguette"


def test_uses_ipa_if_the_engine_supports_it() -> None:
    assert items_of(["a tomato"], pronunciations=lambda: LIST, ipa=True)[1] == Said(
        "tomato", 2, 8, literal=False, settled=True, ipa="təˈmɑːtoʊ"
    )


@pytest.mark.parametrize("word", ["", "two words", "x" * (LONGEST_WORD + 1), "?", "a\n"])
def test_rejects_invalid_words(word: str) -> None:
    with pytest.raises(BadValue):
        Pronunciations({"en": {word: Pronunciation("x")}})


@pytest.mark.parametrize("said_for", [Pronunciation(), Pronunciation(" "), Pronunciation("x" * 201)])
def test_rejects_a_word_without_a_pronunciation(said_for: Pronunciation) -> None:
    with pytest.raises(BadValue):
        Pronunciations({"en": {"word": said_for}})
