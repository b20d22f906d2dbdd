"""Spoken and unspoken parts of a text."""

from __future__ import annotations

import pytest

from streaming_server.engines.spoken_form import is_speakable, spoken_form


@pytest.mark.parametrize("text", ["...", "— !?", "[S1] (laughs)", "\x01\x02", "", " \n "])
def test_punctuation_tags_and_control_characters_are_not_speakable(text: str) -> None:
    assert not is_speakable(spoken_form(text))


@pytest.mark.parametrize("text", ["%", "7", "👋", "€", "£", "+", "♥", "→", "a", "é", "你好", "مرحبا"])
def test_a_single_symbol_is_speakable(text: str) -> None:
    assert is_speakable(spoken_form(text))


def test_tags_and_control_characters_are_blanked_in_place() -> None:
    assert spoken_form("[S1] Hi \x0140S (laughs) there") == "     Hi  40S          there"
