"""The default engine: hibari for English, eSpeak NG for other languages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.spoken import drain, pcm

from streaming_server.engines.auto.engine import AutoEngine
from streaming_server.engines.espeak.engine import EspeakEngine
from streaming_server.engines.flow_control import FlowControlled
from streaming_server.engines.hibari.engine import HibariEngine
from streaming_server.engines.hibari.further_voices import HibariSettings, further_voices
from streaming_server.engines.hibari.models import VoiceModels
from streaming_server.engines.hibari.phonemes import ASSETS
from streaming_server.types import DEFAULT_VOICE, Audio, Event, Failed, Finished, Generation, Utterance, Words

ENGLISH = "The committee will meet again on Tuesday."
GERMAN = "Der Ausschuss trifft sich am Dienstag wieder, um den neuen Plan zu besprechen."

IDS = count(1)


@pytest.fixture(scope="module")
def hibari() -> HibariEngine:
    return HibariEngine()


@pytest.fixture(scope="module")
def espeak() -> EspeakEngine:
    return EspeakEngine()


@pytest.fixture(scope="module")
def engine(hibari: HibariEngine, espeak: EspeakEngine) -> Iterator[AutoEngine]:
    engine = AutoEngine(hibari, espeak)
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def nothing_left(engine: AutoEngine) -> Iterator[None]:
    yield
    drain(engine)


def utterance(text: str, language: str | None = None) -> Utterance:
    number = next(IDS)
    return Utterance(number, number, text, DEFAULT_VOICE, Generation(language=language), 0.0)


def spoken(engine: AutoEngine | HibariEngine | EspeakEngine, text: str, language: str | None) -> bytes:
    said = utterance(text, language)
    return pcm(drain(engine, [said]), said.id)


def words_of(text: str, events: list[Event]) -> list[str]:
    marks = [mark for event in events if isinstance(event, Words) for mark in event.marks]
    return [text[mark.start : mark.end] for mark in marks]


def test_info(engine: AutoEngine) -> None:
    info = engine.info
    assert (info.name, info.sample_rate) == ("auto", 24000)
    assert info.languages[:2] == ("en", "en-US")
    assert all(info.speaks(language) for language in ("en", "en-GB", "de", "fr-FR", "zh"))
    assert info.uses == {"language", "speed", "pitch", "seed"}


@pytest.mark.parametrize("language", [None, "en", "en-US", "en_gb"])
def test_hibari_speaks_english(engine: AutoEngine, hibari: HibariEngine, language: str | None) -> None:
    assert spoken(engine, ENGLISH, language) == spoken(hibari, ENGLISH, language)


def test_espeak_speaks_other_languages_at_the_engines_rate(engine: AutoEngine, espeak: EspeakEngine) -> None:
    original = np.frombuffer(spoken(espeak, GERMAN, "de"), "<i2").astype(float)
    resampled = np.frombuffer(spoken(engine, GERMAN, "de"), "<i2").astype(float)
    assert len(resampled) == pytest.approx(len(original) * 24000 / 22050, abs=2)
    assert np.sum(original**2) / 22050 == pytest.approx(np.sum(resampled**2) / 24000, rel=0.02)


def test_marks_of_other_languages_are_at_the_engines_rate(engine: AutoEngine, espeak: EspeakEngine) -> None:
    said, original = utterance(GERMAN, "de"), utterance(GERMAN, "de")
    events = drain(engine, [said])
    assert words_of(GERMAN, events) == words_of(GERMAN, drain(espeak, [original]))
    marks = [mark for event in events if isinstance(event, Words) for mark in event.marks]
    assert all(one.end_sample <= other.start_sample for one, other in pairwise(marks))
    assert marks[-1].end_sample == pytest.approx(len(pcm(events, said.id)) // 2, rel=0.1)


def test_both_engines_advance_in_turn(engine: AutoEngine) -> None:
    english, german = utterance(ENGLISH), utterance(GERMAN, "de")
    engine.submit(english)
    engine.submit(german)
    assert engine.active == 2
    heard = [event.utterance for event in drain(engine) if isinstance(event, Audio)]
    assert set(heard[:3]) == {english.id, german.id}


def test_a_voice_that_is_being_loaded_does_not_slow_other_languages(
    espeak: EspeakEngine, tmp_path: Path
) -> None:
    voices = further_voices(HibariSettings(voices_dir=str(tmp_path)))
    emma = next(one for one in voices if one.voice.id == "emma")
    assert emma.file is not None
    emma.file.path.write_bytes((ASSETS / "hibari.onnx").read_bytes())
    hibari = HibariEngine(VoiceModels(voices))
    engine = AutoEngine(hibari, espeak)
    english, german = replace(utterance(ENGLISH), voice=emma.voice), utterance(GERMAN, "de")
    engine.submit(english)
    engine.submit(german)
    silent = 0
    while hibari.waiting and espeak.active:
        silent += not engine.step()
    assert silent <= 1
    assert pcm(drain(engine), english.id)


def test_a_cancelled_utterance_is_silent_in_both_engines(engine: AutoEngine) -> None:
    for language in ("en", "de"):
        said, other = utterance(ENGLISH, language), utterance(ENGLISH, language)
        engine.submit(said)
        engine.submit(other)
        engine.step()
        engine.cancel(said.id)
        engine.cancel(said.id)
        assert {event.utterance for event in drain(engine)} == {other.id}


def test_an_unknown_language_fails_only_its_utterance(engine: AutoEngine) -> None:
    unknown, german = utterance(ENGLISH, "xx"), utterance(GERMAN, "de")
    events = drain(engine, [unknown, german])
    assert any(isinstance(event, Failed) and event.utterance == unknown.id for event in events)
    assert any(isinstance(event, Finished) and event.utterance == german.id for event in events)


def test_pausing_does_not_change_the_audio(engine: AutoEngine) -> None:
    text = GERMAN * 4
    alone = spoken(engine, text, "de")
    restrained = FlowControlled(engine)
    said = replace(utterance(text, "de"), window=100_000)
    sound = pcm(drain(restrained, [said]), said.id)
    assert 100_000 <= len(sound) < len(alone)
    while len(sound) < len(alone):
        restrained.taken(said.id, len(sound))
        sound += pcm(drain(restrained), said.id)
    assert sound == alone
