"""Emoji are removed or named; invisible characters are removed."""

from __future__ import annotations

import pytest
from helpers.spoken_text import said


@pytest.mark.parametrize("emoji", ["😀", "👍🏽", "👩‍👩‍👧", "🇩🇪", "❤️", "☀️", "✅", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"])
def test_emoji_are_removed(emoji: str) -> None:
    assert said(f"a {emoji} b") == "a  b"


@pytest.mark.parametrize(
    ("emoji", "name"),
    [("😀", "grinning face"), ("👍🏽", "thumbs up sign"), ("🇩🇪🇫🇷", "flag"), ("👩‍👧", "woman  girl")],
)
def test_emoji_can_be_named(emoji: str, name: str) -> None:
    assert name in said(f"a {emoji} b", name_emoji=True)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello😀World", "Hello World"),
        ("A🇩B 🇩🇪C", "A B  C"),
        ("a👍🏽b", "a b"),
        ("I❤️NY😀!", "I NY!"),
        ("1️⃣2️⃣", "1 2"),
        ("Hi😀 you", "Hi you"),
    ],
)
def test_an_emoji_between_words_keeps_them_apart(written: str, spoken: str) -> None:
    assert said(written, language="de") == spoken


def test_ticks_and_crosses_answer_in_tables() -> None:
    assert said("| a | ✅ | ❌ |") == " a , yes , no "
    assert said("Done ✅") == "Done "


def test_text_symbols_are_kept() -> None:
    assert said("1️⃣ ©️ ™ # → ♪", language="de") == "1 © ™ # → ♪"


def test_invisible_characters_are_removed() -> None:
    assert (
        said("\ufeffcon\u00adtent \u200bzero\u2060 \u202eright\u202c \u200ehere") == "content zero right here"
    )


def test_joiners_are_kept_in_scripts_that_need_them() -> None:
    text = "می\u200cخواهم क्\u200dष"
    assert said(text, language="fa") == text
