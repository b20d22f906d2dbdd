"""Speed and pitch change within a sentence, which stays one sentence."""

from __future__ import annotations

from itertools import count

import pytest
from helpers.espeak import Speaker, audio_of, check_order, marks_of
from helpers.silences import longest_inside

from streaming_server.engines.espeak.spelled_text import Insertion, SpelledText, prosody_commands
from streaming_server.engines.espeak.voices import parameters_for
from streaming_server.types import DEFAULT_VOICE, Event, Generation, Pronounced, ProsodySpan, Utterance

TEXT = "This is very important."
VERY = (8, 12)
RATE = 22050

IDS = count(1_000_000)


def events_of(
    speaker: Speaker, *spans: ProsodySpan, text: str = TEXT, language: str = "en", speed: float = 1.0
) -> list[Event]:
    number = next(IDS)
    generation = Generation(language=language, speed=speed)
    speaker.engine.submit(Utterance(number, number, text, DEFAULT_VOICE, generation, 0.0, prosody=spans))
    return speaker.drain()


def lengths(text: str, events: list[Event]) -> list[tuple[str, int]]:
    return [(text[mark.start : mark.end], mark.end_sample - mark.start_sample) for mark in marks_of(events)]


@pytest.mark.parametrize("speed", [0.6, 0.92, 1.5])
def test_only_the_words_of_a_span_change_their_speed(speaker: Speaker, speed: float) -> None:
    plain = lengths(TEXT, events_of(speaker))
    events = events_of(speaker, ProsodySpan(*VERY, speed, 1.05))
    check_order(TEXT, events)
    assert longest_inside(audio_of(events), RATE) <= 60
    changed = lengths(TEXT, events)
    assert [word for word, _ in changed] == ["This", "is", "very", "important"]
    for (word, before), (_, after) in zip(plain, changed, strict=True):
        ratio = speed if word == "very" else 1.0
        assert after == pytest.approx(before / ratio, rel=0.15, abs=0.025 * RATE)


def test_later_utterances_are_not_affected(speaker: Speaker) -> None:
    plain = events_of(speaker)
    first = events_of(speaker, ProsodySpan(8, len(TEXT), 0.5, 1.5))
    assert audio_of(events_of(speaker)) == audio_of(plain)
    assert audio_of(events_of(speaker, ProsodySpan(8, len(TEXT), 0.5, 1.5))) == audio_of(first)


def test_a_script_without_spaces_keeps_its_marks(speaker: Speaker) -> None:
    text = "我们现在慢慢说话。"
    plain = lengths(text, events_of(speaker, text=text, language="zh"))
    changed = lengths(text, events_of(speaker, ProsodySpan(2, 6, 0.5, 1.0), text=text, language="zh"))
    assert [word for word, _ in changed] == [word for word, _ in plain] == list(text.removesuffix("。"))
    assert all(after > 1.6 * before for (_, before), (_, after) in zip(plain[2:6], changed[2:6], strict=True))
    assert changed[6][1] == pytest.approx(plain[6][1], rel=0.1)


def test_commands_stand_in_front_of_words() -> None:
    own = parameters_for(DEFAULT_VOICE, "en-us")
    slow = parameters_for(DEFAULT_VOICE, "en-us", 0.5)
    text, spans = "a b cd", (ProsodySpan(1, 3, 0.5, 1.0),)
    commands = tuple(prosody_commands(text, spans, [slow], own))
    set_slow, set_own = f"\x01{slow.rate}S\x01{slow.pitch}P", f"\x01{own.rate}S\x01{own.pitch}P"
    assert commands == (Insertion(2, 2, set_slow), Insertion(4, 4, set_own))
    spelled = SpelledText(text, [], commands)
    assert spelled.spoken == f"a {set_slow}b {set_own}cd"
    b, cd = 3, 5 + len(set_slow)
    assert spelled.written(b, len(set_slow) + 1) == (3, 1)
    assert spelled.written(cd, len(set_own) + 2) == (5, 2)
    assert spelled.written(cd + len(set_own), 2) == (5, 2)


def test_commands_and_pronunciations_together() -> None:
    spelled = SpelledText("[[ XYZ.", [(Pronounced(3, 6, "a"), "aI")], [Insertion(3, 3, "\x0190S")])
    assert spelled.spoken == "[  \x0190S[[aI]]."
    assert spelled.phonemes
    assert spelled.written(4, 10) == (4, 6)
    assert spelled.written(9, 6) == (4, 3)
    within = SpelledText("XYZ is", [(Pronounced(0, 3, "a"), "aI")], [Insertion(1, 1, "\x0190S")])
    assert within.spoken == "[[aI]]\x0190S is"
