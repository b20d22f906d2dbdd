"""When a worker counts as mute."""

from __future__ import annotations

import pytest

from streaming_server.pool import speech_check
from streaming_server.pool.speech_check import MUTE_BEATS, MUTE_FACTOR, SpeechCheck
from streaming_server.types import Audio, Failed, Finished, Utterance

OTHER = 1000
"""Id of an utterance that is no canary."""


class Subject:
    """A check of a worker, and the canaries it has sent."""

    def __init__(self) -> None:
        self.canaries: list[Utterance] = []
        self.check = SpeechCheck("cpu_0", lambda: len(self.canaries) + 1, self.canaries.append)

    def speak(self, utterance: int) -> None:
        self.check.follow([Audio(utterance, b"\1\0"), Finished(utterance, 0.0)])

    def beat(self, times: int, *, paused: bool = False) -> None:
        for _ in range(times):
            self.check.beat(paused=paused)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A worker that has spoken, is sent another canary at once, and does not answer it yet."""
    monkeypatch.setattr(speech_check, "CANARY_EVERY_S", 0.0)
    subject = Subject()
    subject.check.begin()
    subject.speak(1)
    subject.check.beat()
    assert len(subject.canaries) == 2
    return subject


def test_no_canary_is_sent_before_the_worker_is_ready() -> None:
    subject = Subject()
    subject.beat(MUTE_BEATS + 1)
    assert subject.canaries == []
    assert not subject.check.mute


def test_a_worker_is_mute_if_its_canary_stays_without_sound(begun: Subject) -> None:
    begun.beat(MUTE_BEATS - 1)
    assert not begun.check.mute
    begun.beat(1)
    assert begun.check.mute


def test_a_worker_is_mute_if_its_canaries_fail(begun: Subject) -> None:
    for _ in range(MUTE_BEATS):
        begun.check.follow([Failed(begun.canaries[-1].id, "engine_failure", "out of memory", retryable=True)])
        begun.beat(1)
    assert begun.check.mute


def test_sound_of_any_utterance_shows_that_a_worker_is_not_mute(begun: Subject) -> None:
    for _ in range(3):
        begun.beat(MUTE_BEATS - 1)
        begun.check.follow([Audio(OTHER, b"\1\0")])
        assert not begun.check.mute


def test_sound_of_others_does_not_excuse_a_canary_that_never_ends(begun: Subject) -> None:
    begun.speak(OTHER)
    begun.beat(MUTE_BEATS)
    assert begun.check.mute


def test_heartbeats_do_not_count_while_an_utterance_waits_for_its_listener(begun: Subject) -> None:
    begun.beat(MUTE_BEATS - 1)
    begun.beat(1, paused=True)
    begun.beat(MUTE_BEATS - 1)
    assert not begun.check.mute


def test_an_idle_worker_that_speaks_its_canaries_is_not_mute(begun: Subject) -> None:
    for _ in range(2 * MUTE_BEATS):
        begun.speak(begun.canaries[-1].id)
        begun.beat(1)
        assert not begun.check.mute


def test_a_canary_may_sound_for_longer(begun: Subject) -> None:
    for _ in range(3):
        begun.beat(MUTE_BEATS - 1)
        begun.check.follow([Audio(begun.canaries[-1].id, b"\1\0")])
        assert not begun.check.mute


def test_a_worker_whose_first_canary_took_long_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_check, "CANARY_EVERY_S", 0.0)
    slow = Subject()
    slow.check.begin()
    slow.beat(MUTE_BEATS)
    slow.speak(1)
    slow.beat(1 + MUTE_FACTOR * MUTE_BEATS - 1)
    assert not slow.check.mute
    slow.beat(1)
    assert slow.check.mute
