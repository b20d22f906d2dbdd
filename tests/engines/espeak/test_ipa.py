"""IPA that is given for words is what the library says."""

from __future__ import annotations

import pytest
from helpers.espeak import Speaker, audio_of, check_order, marks_of, voice_named

from streaming_server.engines.espeak.ipa import PhonemeTable
from streaming_server.engines.espeak.spelled_text import SpelledText
from streaming_server.types import Event, Generation, Pronounced, Utterance


def say(speaker: Speaker, text: str, *parts: tuple[str, str], language: str = "en-US") -> list[Event]:
    pronounced = tuple(Pronounced(text.index(word), text.index(word) + len(word), ipa) for word, ipa in parts)
    number = next(speaker.ids)
    speaker.engine.submit(
        Utterance(number, number, text, voice_named("aria"), Generation(language=language), 0.0, pronounced)
    )
    return speaker.drain()


@pytest.mark.parametrize(
    ("language", "word", "ipa"),
    [
        ("en-US", "nation", "ˈneɪʃən"),
        ("en-US", "judge", "/ˈdʒʌdʒ/"),
        ("de", "Tag", "ˈtɑːk"),
        ("fr", "bon", "bˈɔ̃"),
    ],
)
def test_a_words_own_ipa_changes_nothing(speaker: Speaker, language: str, word: str, ipa: str) -> None:
    own = audio_of(speaker.say(f"{word}.", language=language))
    assert audio_of(say(speaker, f"{word}.", (word, ipa), language=language)) == own


def test_other_ipa_is_spoken_instead_of_the_word(speaker: Speaker) -> None:
    text = "A plain XYZ sentence."
    events = say(speaker, text, ("XYZ", "ˈneɪʃən"))
    assert audio_of(events) == speaker.pcm("A plain nation sentence.")
    assert check_order(text, events)
    marks = marks_of(events)
    assert [text[mark.start : mark.end] for mark in marks] == ["A", "plain", "XYZ", "sentence"]


def test_a_sound_that_a_language_lacks_leaves_the_word_as_it_is(speaker: Speaker) -> None:
    text = "A plain word."
    assert audio_of(say(speaker, text, ("plain", "ʘa"))) == speaker.pcm(text)
    assert audio_of(say(speaker, text, ("plain", "ʘa"), ("word", "ˈneɪʃən"))) == speaker.pcm(
        "A plain nation."
    )


def test_brackets_of_the_text_are_not_taken_for_phonemes(speaker: Speaker) -> None:
    text = "XYZ [[h@l'oU]] ends."
    marks = marks_of(say(speaker, text, ("XYZ", "ˈneɪʃən")))
    assert text[marks[0].start : marks[0].end] == "XYZ"
    assert text[marks[-1].start : marks[-1].end] == "ends"
    assert audio_of(say(speaker, text, ("XYZ", "ˈneɪʃən"))) == speaker.pcm("nation [ h@l'oU]] ends.")


@pytest.mark.parametrize("written", ["ɪ\u00e7", "ɪc\u0327"])
@pytest.mark.parametrize(
    ("own", "spelling"), [({}, "I|x"), ({"C": "\u00e7"}, "I|C"), ({"C": "c\u0327"}, "I|C")]
)
def test_a_cedilla_is_part_of_its_letter(written: str, own: dict[str, str], spelling: str) -> None:
    """It is found however it is encoded, and replaced where a language lacks it."""
    sounds = {"a:": "aː", "x": "x", "I": "ɪ", **own}
    table = PhonemeTable(sounds, lambda names: "".join(sounds[name] for name in names.split("|")))
    assert table.spelled(written) == spelling


def test_places_lead_back_to_the_written_text() -> None:
    spelled = SpelledText("The XYZ is [[ here", [(Pronounced(4, 7, "a"), "aI")])
    assert spelled.spoken == "The [[aI]] is [  here"
    assert spelled.written(1, 3) == (1, 3)
    assert {spelled.written(place, 2) for place in range(5, 11)} == {(5, 3)}
    assert spelled.written(12, 2) == (9, 2)


def test_a_bracket_before_a_pronunciation_stays_out_of_it() -> None:
    spelled = SpelledText(
        "See [XYZ], [[XYZ]].", [(Pronounced(5, 8, "a"), "aI"), (Pronounced(13, 16, "a"), "aI")]
    )
    assert spelled.spoken == "See  [[aI]]], [ [[aI]]]]."
    assert spelled.written(7, 3) == (6, 3)
