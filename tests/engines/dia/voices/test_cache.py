"""Prompts are made in the background, once, the most needed first."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import CancelledError

import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.model.config import TINY_CODEC  # noqa: E402
from streaming_server.engines.dia.voices import cache as shelf_module  # noqa: E402
from streaming_server.engines.dia.voices.cache import PromptShelf  # noqa: E402
from streaming_server.engines.dia.voices.encoder import PromptEncoder  # noqa: E402
from streaming_server.engines.dia.weights.hub import locate  # noqa: E402
from streaming_server.engines.dia.weights.loader import read_encoder  # noqa: E402
from streaming_server.errors import EngineFailure, UnknownVoiceSample  # noqa: E402
from streaming_server.types import VoiceSample  # noqa: E402

PATIENCE_S = 30


class GatedEncoder(PromptEncoder):
    """A real encoder that waits before every window until it is let on, and counts what it is given."""

    def __init__(self):
        source = locate("random:tiny", "DIA_CODEC")
        super().__init__(TINY_CODEC, read_encoder(source, TINY_CODEC, torch.device("cpu"), torch.float32))
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.lengths = []

    def encode(self, samples):
        self.lengths.append(len(samples) // 44100)
        for codes in super().encode(samples):
            self.begun.release()
            assert self.gate.wait(PATIENCE_S)
            yield codes


@pytest.fixture
def encoder():
    return GatedEncoder()


@pytest.fixture
def shelf(encoder):
    made = PromptShelf(lambda: encoder)
    yield made
    encoder.gate.set()
    made.close()


@pytest.fixture
def prompt(recording):
    """seconds → a prompt of that length."""
    return lambda seconds: VoiceSample(
        recording(f"{seconds}.wav", seconds, seed=seconds), f"It is {seconds}."
    )


def test_a_prompt_is_made_once_for_all_who_want_it(shelf, encoder, prompt):
    encoder.gate.set()
    shelf.expect(prompt(1), "S1")
    voice = shelf.want(prompt(1), "S1").result(PATIENCE_S)
    assert voice.transcript == "[S1] It is 1."
    assert voice.codes.shape == (87, 9)
    assert shelf.want(prompt(1), "S1").result(PATIENCE_S) is voice
    assert encoder.lengths == [1]


def test_the_speaker_of_a_voice_is_the_one_who_says_its_transcript(shelf, encoder, prompt):
    encoder.gate.set()
    one, other = (shelf.want(prompt(1), speaker).result(PATIENCE_S) for speaker in ("S1", "S2"))
    assert (one.transcript, other.transcript) == ("[S1] It is 1.", "[S2] It is 1.")
    assert one.codes.equal(other.codes)


def test_what_is_wanted_comes_before_what_is_expected(shelf, encoder, prompt):
    shelf.expect(prompt(1), "S1")
    assert encoder.begun.acquire(timeout=PATIENCE_S)
    for seconds in (2, 3):
        shelf.expect(prompt(seconds), "S1")
    wanted = [shelf.want(prompt(seconds), "S1") for seconds in (4, 3)]
    rest = shelf.want(prompt(2), "S1")
    encoder.gate.set()
    for result in [*wanted, rest]:
        result.result(PATIENCE_S)
    assert encoder.lengths == [1, 4, 3, 2]


def test_only_so_many_are_expected(shelf, encoder, prompt, monkeypatch):
    monkeypatch.setattr(shelf_module, "MOST_EXPECTED", 1)
    shelf.expect(prompt(1), "S1")
    assert encoder.begun.acquire(timeout=PATIENCE_S)
    for seconds in (2, 3):
        shelf.expect(prompt(seconds), "S1")
    encoder.gate.set()
    shelf.want(prompt(2), "S1").result(PATIENCE_S)
    shelf.want(prompt(4), "S1").result(PATIENCE_S)
    assert encoder.lengths == [1, 2, 4]


def test_only_those_wanted_last_are_kept(shelf, encoder, prompt, monkeypatch):
    monkeypatch.setattr(shelf_module, "MOST_PROMPTS", 2)
    encoder.gate.set()
    for seconds in (1, 2, 1, 3, 1, 2):
        shelf.want(prompt(seconds), "S1").result(PATIENCE_S)
    assert encoder.lengths == [1, 2, 3, 2]


def test_what_fails_is_tried_again_when_it_is_wanted_again(shelf, encoder, prompt, recording):
    encoder.gate.set()
    missing = VoiceSample(prompt(1).path.replace("1.wav", "5.wav"), "It is 5.")
    with pytest.raises(UnknownVoiceSample):
        shelf.want(missing, "S1").result(PATIENCE_S)
    recording("5.wav", 5)
    assert shelf.want(missing, "S1").result(PATIENCE_S).frames == 431


def test_an_encoder_that_breaks_down_fails_one_prompt(shelf, encoder, prompt, monkeypatch, caplog):
    encoder.gate.set()

    def broken(samples):
        raise RuntimeError("out of order")

    with monkeypatch.context() as patch, pytest.raises(EngineFailure, match="cannot be encoded"):
        patch.setattr(encoder, "encode", broken)
        shelf.want(prompt(1), "S1").result(PATIENCE_S)
    assert "out of order" in caplog.text
    assert shelf.want(prompt(1), "S1").result(PATIENCE_S).frames == 87


def test_the_encoder_is_made_when_it_is_first_needed_and_again_after_relief(prompt):
    made = []

    def make():
        made.append(GatedEncoder())
        made[-1].gate.set()
        return made[-1]

    shelf = PromptShelf(make)
    assert not made
    shelf.want(prompt(1), "S1").result(PATIENCE_S)
    shelf.relieve()
    shelf.want(prompt(1), "S1").result(PATIENCE_S)
    shelf.want(prompt(2), "S1").result(PATIENCE_S)
    assert [encoder.lengths for encoder in made] == [[1], [2]]
    shelf.close()


def test_closing_ends_between_two_windows_and_cancels_the_rest(shelf, encoder, prompt):
    results = [shelf.want(prompt(seconds), "S1") for seconds in (9, 2)]
    assert encoder.begun.acquire(timeout=PATIENCE_S)
    closing = threading.Thread(target=shelf.close)
    closing.start()
    while not shelf._closed:
        pass
    encoder.gate.set()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert not encoder.begun.acquire(blocking=False)
    for result in results:
        with pytest.raises(CancelledError):
            result.result(0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux threads have a niceness of their own")
def test_the_encoder_stands_back_for_the_threads_that_speak(shelf, encoder, prompt):
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    encoder.gate.set()
    shelf.want(prompt(1), "S1").result(PATIENCE_S)
    assert os.getpriority(os.PRIO_PROCESS, shelf._thread.native_id) == max(own, 10)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
