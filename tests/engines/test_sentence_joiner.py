"""Sentences in parts, with the real engines: words of other languages, pauses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise

import numpy as np
import pytest
from helpers.silences import longest_inside, silences
from helpers.spoken import drain, pcm

from streaming_server.engines.auto.engine import AutoEngine
from streaming_server.engines.espeak.engine import EspeakEngine
from streaming_server.engines.flow_control import FlowControlled
from streaming_server.engines.hibari.engine import HibariEngine
from streaming_server.engines.sentence_joiner import CLAUSE_PAUSE_S, SentenceJoiner
from streaming_server.text.language import foreign_spans
from streaming_server.types import (
    BUILTIN_VOICES,
    DEFAULT_VOICE,
    Audio,
    Event,
    Finished,
    Generation,
    Pronounced,
    ProsodySpan,
    Utterance,
    Voice,
    WordMark,
    Words,
)

RATE = 24000
CHINESE = "The word 你好 means hello."
RUSSIAN = "He wrote Привет on the wall."
MIXED = (CHINESE, RUSSIAN, "Tokyo is 東京 in Japanese.", "She lives in Москва.", "Привет is a word.")

IDS = count(1)


@pytest.fixture(scope="module")
def espeak() -> EspeakEngine:
    return EspeakEngine()


@pytest.fixture(scope="module")
def engine(espeak: EspeakEngine) -> Iterator[SentenceJoiner]:
    engine = SentenceJoiner(AutoEngine(HibariEngine(), espeak))
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def nothing_left(engine: SentenceJoiner) -> Iterator[None]:
    yield
    drain(engine)


def utterance(
    text: str,
    voice: Voice = DEFAULT_VOICE,
    language: str = "en",
    pronounced: tuple[Pronounced, ...] = (),
    prosody: tuple[ProsodySpan, ...] = (),
) -> Utterance:
    number = next(IDS)
    return Utterance(
        number,
        number,
        text,
        voice,
        Generation(language=language),
        0.0,
        pronounced=pronounced,
        prosody=prosody,
        foreign=foreign_spans(text, language),
    )


def marks_of(events: list[Event]) -> list[WordMark]:
    return [mark for event in events if isinstance(event, Words) for mark in event.marks]


def words_of(text: str, events: list[Event]) -> list[str]:
    return [text[mark.start : mark.end] for mark in marks_of(events)]


def level(audio: bytes, mark: WordMark) -> float:
    return float(np.abs(np.frombuffer(audio, "<i2")[mark.start_sample : mark.end_sample].astype(int)).mean())


@pytest.mark.parametrize("text", MIXED)
def test_sounds_as_one_sentence(engine: SentenceJoiner, text: str) -> None:
    said = utterance(text)
    events = drain(engine, [said])
    audio = pcm(events, said.id)
    assert longest_inside(audio, RATE) <= 120
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, Finished) for event in events) == 1


@pytest.mark.parametrize("voice", BUILTIN_VOICES, ids=lambda voice: voice.id)
def test_every_voice_says_every_word(engine: SentenceJoiner, voice: Voice) -> None:
    for text in (CHINESE, RUSSIAN):
        said = utterance(text, voice)
        events = drain(engine, [said])
        audio = pcm(events, said.id)
        assert "".join(words_of(text, events)) == text.replace(" ", "").removesuffix(".")
        assert all(level(audio, mark) > 300 for mark in marks_of(events))
        assert longest_inside(audio, RATE) <= 120


@pytest.mark.parametrize("text", MIXED)
def test_marks_are_where_the_words_are_heard(engine: SentenceJoiner, text: str) -> None:
    """They come in order, each before its audio; the first word after a joint begins with its sound."""
    said = utterance(text)
    events = drain(engine, [said])
    marks = marks_of(events)
    assert all(one.end_sample <= other.start_sample for one, other in pairwise(marks))
    heard = marked = 0
    for event in events:
        if isinstance(event, Audio):
            heard += len(event.pcm) // 2
            assert marked >= sum(mark.start_sample < heard for mark in marks)
        elif isinstance(event, Words):
            marked += len(event.marks)
    (span,) = said.foreign
    quiet = silences(pcm(events, said.id), RATE)
    first = next(mark for mark in marks if mark.start >= span.start)
    ends = [start + length for start, length in quiet]
    if span.start:
        assert min(abs(first.start_sample / 24 - end) for end in ends) <= 40


def test_a_foreign_word_is_spoken_in_its_own_language(engine: SentenceJoiner, espeak: EspeakEngine) -> None:
    """The word has the length that it has alone, so that it is neither spelled out nor dropped."""
    said, alone = utterance(RUSSIAN), utterance("Привет", language="ru")
    events = drain(engine, [said])
    (word,) = (mark for mark in marks_of(events) if RUSSIAN[mark.start : mark.end] == "Привет")
    sound = pcm(drain(espeak, [alone]), alone.id)
    (_, *_, last) = silences(sound, 22050)
    assert (word.end_sample - word.start_sample) / 24 == pytest.approx(last[0], abs=80)


def test_a_comma_is_heard_after_a_foreign_word(engine: SentenceJoiner) -> None:
    text = "Привет, my friend."
    said = utterance(text)
    pause_ms = longest_inside(pcm(drain(engine, [said]), said.id), RATE)
    assert 1000 * CLAUSE_PAUSE_S <= pause_ms <= 1000 * CLAUSE_PAUSE_S + 100


def test_punctuation_and_several_languages(engine: SentenceJoiner) -> None:
    text = "They say (“Привет”), “안녕하세요” or שלום!"
    events = drain(engine, [utterance(text)])
    assert words_of(text, events) == ["They", "say", "Привет", "안녕하세요", "or", "שלום"]


def test_prosody_and_pronunciations_reach_their_parts(engine: SentenceJoiner) -> None:
    """They are given for the whole text, and count from the start of a part in the part."""

    def lengths(marks: list[WordMark]) -> dict[str, int]:
        return {
            word: sum(mark.end_sample - mark.start_sample for mark in marks if start <= mark.start < end)
            for word, start, end in ((m[0], *m.span()) for m in re.finditer(r"\w+", CHINESE))
        }

    at = CHINESE.index("means")
    plain = lengths(marks_of(drain(engine, [utterance(CHINESE)])))
    said = utterance(
        CHINESE,
        prosody=(ProsodySpan(9, 11, 0.5, 1.0), ProsodySpan(at, at + 5, 0.5, 1.0)),
        pronounced=(Pronounced(4, 8, "kæt"),),
    )
    slow = lengths(marks_of(drain(engine, [said])))
    ratios = {word: slow[word] / length for word, length in plain.items()}
    assert ratios["hello"] == pytest.approx(1.0, abs=0.1)
    assert ratios["means"] == pytest.approx(2.0, abs=0.2)
    assert ratios["你好"] > 1.6
    assert ratios["word"] != 1.0


def test_pausing_and_repeating_change_nothing(engine: SentenceJoiner) -> None:
    text = CHINESE.removesuffix(".") + " and " + RUSSIAN
    said, again = utterance(text), replace(utterance(text), window=50_000)
    alone = pcm(drain(engine, [said]), said.id)
    restrained = FlowControlled(engine)
    sound = pcm(drain(restrained, [again]), again.id)
    assert 50_000 <= len(sound) < len(alone)
    while len(sound) < len(alone):
        restrained.taken(again.id, len(sound))
        sound += pcm(drain(restrained), again.id)
    assert sound == alone


def test_cancel_ends_all_parts(engine: SentenceJoiner) -> None:
    for steps in range(0, 12, 2):
        said, other = utterance(CHINESE), utterance(RUSSIAN)
        engine.submit(said)
        for _ in range(steps):
            engine.step()
        engine.cancel(said.id)
        assert {event.utterance for event in drain(engine, [other])} == {other.id}


def test_espeak_alone_mixes_languages_too(espeak: EspeakEngine) -> None:
    text = "Das Wort Привет kommt aus dem Russischen."
    said = utterance(text, language="de")
    events = drain(SentenceJoiner(espeak), [said])
    assert words_of(text, events) == text.removesuffix(".").split()
    assert longest_inside(pcm(events, said.id), 22050) <= 120


@pytest.mark.parametrize("voice", BUILTIN_VOICES, ids=lambda voice: voice.id)
@pytest.mark.parametrize("language", ["en", "de"])
def test_no_silence_follows_an_utterance_whose_sentence_continues(
    engine: SentenceJoiner, language: str, voice: Voice
) -> None:
    whole = utterance("Das ist so" if language == "de" else "This is so", voice, language)
    part = replace(whole, id=next(IDS), continues=True)
    events = drain(engine, [whole, part])
    full, trimmed = pcm(events, whole.id), pcm(events, part.id)
    assert full.startswith(trimmed)
    start, length = silences(full, RATE)[-1]
    assert length > 200
    assert len(trimmed) / 48 == pytest.approx(start, abs=60)
    assert words_of(whole.text, [e for e in events if e.utterance == part.id]) == whole.text.split()


def test_a_part_that_cannot_be_spoken_is_skipped(engine: SentenceJoiner) -> None:
    text = "Привет ཨོཾ שלום"
    (event, *_, end) = drain(engine, [utterance(text)])
    assert isinstance(event, Words)
    assert isinstance(end, Finished)
