"""Decomposed letters, as macOS writes them, are read as composed ones."""

from __future__ import annotations

import unicodedata

import pytest
from helpers.espeak import Speaker, audio_of, marks_of
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.engines.espeak.composed import Composed
from streaming_server.types import Pronounced, WordMark

TEXTS = {
    "de": "Das schöne Wetter für Grüße.",
    "fr": "Le café est très près.",
    "vi": "Việt Nam đẹp lắm.",
    "es": "El niño mañana.",
    "ko": "한국어 말하기",
    "cs": "Žluťoučký kůň",
    "ru": "й ё дом",
    "ja": "がぎぐ",
}


@pytest.mark.parametrize("language", TEXTS)
def test_both_forms_sound_the_same(speaker: Speaker, language: str) -> None:
    text = TEXTS[language]
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    composed, other = speaker.say(text, language=language), speaker.say(decomposed, language=language)
    assert audio_of(other) == audio_of(composed)
    assert [unicodedata.normalize("NFC", decomposed[mark.start : mark.end]) for mark in marks_of(other)] == [
        unicodedata.normalize("NFC", text[mark.start : mark.end]) for mark in marks_of(composed)
    ]


def test_ipa_finds_its_word_in_either_form(speaker: Speaker) -> None:
    text = "naïve Zoë sang"
    decomposed = unicodedata.normalize("NFD", text)
    composed = Composed(decomposed)
    zoe = Pronounced(7, 11, "ˈzoʊi")
    (part,) = composed.compose_parts((zoe,))
    assert decomposed[zoe.start : zoe.end] == "Zoe\u0308"
    assert composed.text[part.start : part.end] == "Zoë"


@given(st.text(st.sampled_from("ae\u0301\u0323ö\u1112\u1161\u11abक\u093cが\u3099 .")))
def test_places_lie_in_the_text_and_never_go_back(text: str) -> None:
    composed = Composed(text)
    size = len(composed.text)
    marks = composed.original_marks(tuple(WordMark(at, at + 1, 0, 0) for at in range(size)))
    assert all(0 <= mark.start <= mark.end <= len(text) for mark in marks)
    assert [mark.start for mark in marks] == sorted(mark.start for mark in marks)
    assert not marks or marks[-1].end == len(text)
