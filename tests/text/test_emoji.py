"""Emoji are left out or named; what cannot be seen is not heard."""

from __future__ import annotations

import pytest
from helpers.spoken_text import said


@pytest.mark.parametrize("emoji", ["😀", "👍🏽", "👩‍👩‍👧", "🇩🇪", "❤️", "☀️", "✅", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"])
def test_emoji_are_left_out(emoji: str) -> None:
    assert said(f"a {emoji} b") == "a  b"


@pytest.mark.parametrize(
    ("emoji", "name"),
    [("😀", "grinning face"), ("👍🏽", "thumbs up sign"), ("🇩🇪🇫🇷", "flag"), ("👩‍👧", "woman  girl")],
)
def test_emoji_are_named_where_that_is_wanted(emoji: str, name: str) -> None:
    assert name in said(f"a {emoji} b", name_emoji=True)


def test_signs_that_are_also_text_stay() -> None:
    assert said("1️⃣ ©️ ™ # → ♪", language="de") == "1 © ™ # → ♪"


def test_invisible_characters_are_left_out() -> None:
    assert (
        said("\ufeffcon\u00adtent \u200bzero\u2060 \u202eright\u202c \u200ehere") == "content zero right here"
    )


def test_scripts_keep_their_joiners() -> None:
    text = "می\u200cخواهم क्\u200dष"
    assert said(text, language="fa") == text
