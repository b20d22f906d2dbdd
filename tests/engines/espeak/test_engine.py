"""Scheduling of the eSpeak NG engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from unittest.mock import MagicMock

import pytest
from helpers.espeak import Speaker, audio_of

from streaming_server.engines.espeak import engine, library
from streaming_server.engines.espeak.library import Library
from streaming_server.errors import EngineFailure
from streaming_server.types import Audio, Event, Failed, Finished, Words


@pytest.fixture(autouse=True)
def drained(speaker: Speaker) -> Iterator[None]:
    """End every test with an idle engine."""
    yield
    speaker.drain()


SENTENCE = "This is a long sentence, with words, that a voice should speak at a chosen pace."


def test_info_describes_the_engine(speaker: Speaker) -> None:
    info = speaker.engine.info
    assert (info.name, info.sample_rate, info.can_clone) == ("espeak", 22050, False)
    assert {"en-US", "de", "fr-FR", "pt-BR", "zh"} <= set(info.languages)
    assert info.uses == {"language", "speed", "pitch"}


def test_an_idle_engine_returns_nothing(speaker: Speaker) -> None:
    assert speaker.engine.active == 0
    assert speaker.engine.step() == []


def test_the_first_step_ends_with_the_first_word(speaker: Speaker) -> None:
    speaker.submit(SENTENCE)
    words, audio = speaker.engine.step()
    assert isinstance(words, Words)
    assert isinstance(audio, Audio)
    assert [SENTENCE[mark.start : mark.end] for mark in words.marks] == ["This"]
    assert len(audio.pcm) == 2 * words.marks[-1].end_sample


def test_cancel_works_after_any_step(speaker: Speaker) -> None:
    whole = speaker.say(SENTENCE)
    audio = audio_of(whole)
    speaker.submit(SENTENCE)
    steps = 0
    while speaker.engine.active:
        speaker.engine.step()
        steps += 1
    for after in range(steps + 1):
        utterance = speaker.submit(SENTENCE)
        heard: list[Event] = []
        for _ in range(after):
            heard += speaker.engine.step()
        speaker.engine.cancel(utterance)
        speaker.engine.cancel(utterance)
        assert speaker.engine.active == 0
        assert speaker.engine.step() == []
        assert audio.startswith(audio_of(heard))
        assert speaker.pcm(SENTENCE) == audio


def test_cancel_of_a_waiting_utterance_leaves_the_others(speaker: Speaker) -> None:
    first, second, third = (speaker.submit("Hello there.") for _ in range(3))
    speaker.engine.step()
    speaker.engine.cancel(second)
    assert speaker.engine.active == 2
    finished = [event.utterance for event in speaker.drain() if isinstance(event, Finished)]
    assert finished == [first, third]


def test_many_cancellations_keep_the_order_of_the_rest(speaker: Speaker) -> None:
    ids = [speaker.submit("Hi.", deadline=float(-index)) for index in range(300)]
    for utterance in ids[3:]:
        speaker.engine.cancel(utterance)
    finished = [event.utterance for event in speaker.drain() if isinstance(event, Finished)]
    assert finished == [ids[2], ids[1], ids[0]]


def test_earliest_deadline_first_then_order_of_arrival(speaker: Speaker) -> None:
    late, early, also_early = (speaker.submit("Hello.", deadline=at) for at in (9.0, 1.0, 1.0))
    finished = [event.utterance for event in speaker.drain() if isinstance(event, Finished)]
    assert finished == [early, also_early, late]


def test_finished_reports_the_time_spent(speaker: Speaker) -> None:
    *_, finished = speaker.say(SENTENCE)
    assert isinstance(finished, Finished)
    assert 0.0 < finished.busy_s < 1.0


def test_release_and_relieve_are_allowed_at_any_time(speaker: Speaker) -> None:
    utterance = speaker.submit("Hello there.")
    speaker.engine.step()
    speaker.engine.release(utterance)
    speaker.engine.release(utterance)
    speaker.engine.relieve()
    assert isinstance(speaker.drain()[-1], Finished)


def test_memory_is_the_machines(speaker: Speaker) -> None:
    report = speaker.engine.memory()
    assert 0 < report.used < report.total


def test_a_text_that_the_library_refuses_fails_alone(
    speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as refusing:
        refusing.setattr(Library, "speak", raising(EngineFailure("eSpeak NG returned status 2.")))
        (event,) = speaker.say(SENTENCE)
    assert event == Failed(event.utterance, "engine_failure", "eSpeak NG returned status 2.", retryable=False)
    assert speaker.pcm(SENTENCE)


def test_any_other_error_ends_the_worker(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "speak", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        speaker.say(SENTENCE)


def test_a_cancelled_text_may_fail(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as refusing:
        refusing.setattr(Library, "speak", raising(EngineFailure("eSpeak NG failed."), after=Library.speak))
        utterance = speaker.submit(SENTENCE)
        speaker.engine.step()
        speaker.engine.cancel(utterance)
    assert speaker.engine.active == 0
    assert speaker.pcm(SENTENCE)


def raising(error: Exception, after: Callable[..., None] | None = None) -> Callable[..., None]:
    """Return a function that raises an error, after another one has returned."""

    def fail(*arguments: object, **options: object) -> None:
        if after is not None:
            after(*arguments, **options)
        raise error

    return fail


def test_a_library_without_english_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = MagicMock()
    opened.languages.return_value = {"de": "de"}
    monkeypatch.setattr(engine, "Library", lambda: opened)
    with pytest.raises(EngineFailure, match="lack English"):
        engine.EspeakEngine()
    opened.close.assert_called_once_with()


def test_a_library_that_does_not_start_leaves_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    folder, lib = MagicMock(), MagicMock()
    lib.espeak_Initialize.return_value = -1
    monkeypatch.setattr(library, "DataFolder", lambda original: folder)
    monkeypatch.setattr(library.ctypes, "CDLL", lambda path: lib)
    with pytest.raises(EngineFailure, match="did not accept its data files"):
        Library()
    folder.close.assert_called_once_with()


def test_imports_no_heavy_modules_and_closes_while_speaking() -> None:
    program = """
import sys
from streaming_server.engines.espeak.engine import EspeakEngine
from streaming_server.types import DEFAULT_VOICE, Generation, Utterance
engine = EspeakEngine()
engine.submit(Utterance(1, 1, "Hello there, world.", DEFAULT_VOICE, Generation(), 0.0))
engine.step()
engine.close()
engine.close()
assert engine.active == 0
print(sorted({"numpy", "psutil", "soxr", "starlette", "asyncio"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n"
    assert done.stderr == ""
