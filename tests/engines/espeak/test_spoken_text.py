"""What eSpeak NG says of a text, and what it leaves out."""

from __future__ import annotations

import pytest
from helpers.espeak import Speaker, marks_of

from streaming_server.types import Finished


@pytest.mark.parametrize("text", ["...", "— !?", "[S1] (laughs)", "\x01\x02", "", " \n "])
def test_unspeakable_text_finishes_without_audio(speaker: Speaker, text: str) -> None:
    (event,) = speaker.say(text)
    assert isinstance(event, Finished)


@pytest.mark.parametrize("text", ["%", "7", "👋", "€", "£", "+", "♥", "→", "a", "é", "你好", "مرحبا"])
def test_a_single_symbol_is_spoken(speaker: Speaker, text: str) -> None:
    assert speaker.pcm(text)


def test_tags_and_control_characters_are_not_spoken(speaker: Speaker) -> None:
    text = "[S1] Hi \x0140S (laughs) there"
    words = [text[mark.start : mark.end] for mark in marks_of(speaker.say(text))]
    assert (words[0], words[-1]) == ("Hi", "there")


def test_markup_and_phonemes_are_read_aloud_not_interpreted(speaker: Speaker) -> None:
    assert len(speaker.pcm("a <b>bold</b> word")) > 1.5 * len(speaker.pcm("a bold word"))
    assert len(speaker.pcm("[[h@l'oU]]")) > 1.5 * len(speaker.pcm("hello"))
    assert len(speaker.pcm('<break time="9s"/> a')) < 9 * 2 * 22050
