"""Voices that are not in the wheel: loaded in the background from files that the server has put in place."""

from __future__ import annotations

import hashlib
from pathlib import Path

import hibari.voices
import pytest
from helpers.servers import until
from helpers.spoken import drain, pcm

from streaming_server.engines.hibari.engine import HibariEngine
from streaming_server.engines.hibari.further_voices import BASE_URL, HibariSettings, british, further_voices
from streaming_server.engines.hibari.models import VoiceModels
from streaming_server.engines.hibari.phonemes import ASSETS
from streaming_server.types import DEFAULT_VOICE, EngineVoice, Failed, Generation, Utterance, Voice

MODEL = (ASSETS / "hibari.onnx").read_bytes()
EMMA = Voice("emma", "Emma", "neutral")


def utterance(number: int, voice: Voice) -> Utterance:
    return Utterance(number, number, "Hello there.", voice, Generation(), 0.0)


@pytest.fixture
def voices(tmp_path: Path) -> tuple[EngineVoice, ...]:
    return further_voices(HibariSettings(voices_dir=str(tmp_path)))


def emma_file(voices: tuple[EngineVoice, ...]) -> Path:
    (file,) = (one.file for one in voices if one.voice.id == "emma")
    assert file is not None
    return file.path


def test_a_voice_speaks_once_its_file_is_there(voices: tuple[EngineVoice, ...]) -> None:
    engine = HibariEngine(VoiceModels(voices))
    (event,) = drain(engine, [utterance(1, EMMA)])
    assert isinstance(event, Failed)
    message = "Voice emma is not on this machine yet; try again."
    assert event == Failed(1, "voice_unavailable", message, retryable=True)
    emma_file(voices).write_bytes(MODEL)
    spoken = pcm(drain(engine, [utterance(2, EMMA)]), 2)
    assert spoken
    assert spoken != pcm(drain(engine, [utterance(3, DEFAULT_VOICE)]), 3)
    assert spoken == pcm(drain(engine, [utterance(4, EMMA)]), 4)
    engine.close()


def test_others_speak_while_a_voice_is_loaded(voices: tuple[EngineVoice, ...]) -> None:
    emma_file(voices).write_bytes(MODEL)
    engine = HibariEngine(VoiceModels(voices))
    events = drain(engine, [utterance(1, EMMA), utterance(2, DEFAULT_VOICE)])
    assert events[0].utterance == 2
    assert pcm(events, 1)
    engine.close()


def test_a_file_that_is_no_model_fails_that_voice_alone(voices: tuple[EngineVoice, ...]) -> None:
    emma_file(voices).write_bytes(b"no model")
    engine = HibariEngine(VoiceModels(voices))
    events = drain(engine, [utterance(1, EMMA), utterance(2, DEFAULT_VOICE), utterance(4, EMMA)])
    failed = [event for event in events if isinstance(event, Failed)]
    assert {event.utterance for event in failed} == {1, 4}
    assert all("could not be loaded; delete bf_emma.int8.onnx" in event.message for event in failed)
    assert pcm(events, 2)
    emma_file(voices).write_bytes(MODEL)
    assert until(lambda: pcm(drain(engine, [utterance(3, EMMA)]), 3))
    engine.close()


def test_the_packages_voices_are_listed_with_their_files(tmp_path: Path) -> None:
    voices = further_voices(HibariSettings(voices_url="http://mirror/x", voices_dir=str(tmp_path)))
    assert [one.voice.id for one in voices] == ["emma", "fenrir", "fable", "kore"]
    for one in voices:
        listed = hibari.voices.VOICES[one.voice.id]
        assert one.file is not None
        assert one.file.url == f"http://mirror/x/{listed['file']}"
        assert (one.file.path, one.file.size) == (tmp_path / listed["file"], listed["bytes"])
        assert one.file.sha256 == listed["sha256"]
        assert one.language == listed["language"]
        assert british(one.voice.id) == (one.language == "en-GB")
    assert hashlib.sha256(MODEL).hexdigest() == hibari.voices.VOICES["heart"]["sha256"]


def test_files_lie_where_the_package_itself_keeps_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert BASE_URL == hibari.voices.BASE_URL
    for variable in ("HIBARI_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    assert HibariSettings().folder == Path(hibari.voices.cache_dir())
    for variable in ("XDG_CACHE_HOME", "HIBARI_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
        assert HibariSettings().folder == Path(hibari.voices.cache_dir())
