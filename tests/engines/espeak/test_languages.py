"""Language tags and the voices that speak them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.espeak import Speaker, audio_of

from streaming_server.engines.espeak.languages import Languages, customary_case
from streaming_server.types import Failed, Finished


def test_a_region_falls_back_to_its_language(speaker: Speaker) -> None:
    german = speaker.pcm("Hand in Hand", language="de")
    assert german != speaker.pcm("Hand in Hand")
    assert german == speaker.pcm("Hand in Hand", language="DE-at")


def test_speaks_every_listed_language(speaker: Speaker) -> None:
    for language in speaker.engine.info.languages:
        events = speaker.say("mama 7", language=language)
        assert isinstance(events[-1], Finished), language
        assert np.frombuffer(audio_of(events), "<i2").any(), language


def test_an_unknown_language_fails_and_is_named(speaker: Speaker) -> None:
    (event,) = speaker.say("Hello", language="xx-YY")
    assert isinstance(event, Failed)
    assert (event.code, event.retryable) == ("bad_value", False)
    assert "xx-YY" in event.message


LIBRARY = {"en-us": "en-us", "en": "en", "de": "de", "zh-hant-tw": "cmn"}


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        (None, "en-us"),
        ("en", "en-us"),
        ("EN_US", "en-us"),
        ("en-AU", "en"),
        ("de-AT-x-private", "de"),
        ("zh-Hant-TW", "cmn"),
        ("zh", None),
        ("xx", None),
        ("-", None),
    ],
)
def test_a_tag_falls_back_to_what_it_specializes(language: str | None, voice: str | None) -> None:
    assert Languages(LIBRARY).voice_of(language) == voice


def test_tags_are_listed_in_customary_case() -> None:
    assert Languages(LIBRARY).tags == ("de", "en", "en-US", "zh-Hant-TW")
    assert customary_case("ca-x-valencian") == "ca-x-valencian"
