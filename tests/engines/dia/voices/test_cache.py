"""Voice prompts are encoded in the background, once, requested ones first."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import CancelledError

import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.model.config import TINY_CODEC  # noqa: E402
from streaming_server.engines.dia.voices import cache as cache_module  # noqa: E402
from streaming_server.engines.dia.voices.cache import VoicePromptCache  # noqa: E402
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
def cache(encoder):
    made = VoicePromptCache(lambda: encoder)
    yield made
    encoder.gate.set()
    made.close()


@pytest.fixture
def prompt(recording):
    """seconds → a prompt of that length."""
    return lambda seconds: VoiceSample(
        recording(f"{seconds}.wav", seconds, seed=seconds), f"It is {seconds}."
    )


def test_prompt_is_encoded_once(cache, encoder, prompt):
    encoder.gate.set()
    cache.prefetch(prompt(1), "S1")
    voice = cache.get(prompt(1), "S1").result(PATIENCE_S)
    assert voice.transcript == "[S1] It is 1."
    assert voice.codes.shape == (87, 9)
    assert cache.get(prompt(1), "S1").result(PATIENCE_S) is voice
    assert encoder.lengths == [1]


def test_transcript_belongs_to_the_voices_speaker(cache, encoder, prompt):
    encoder.gate.set()
    one, other = (cache.get(prompt(1), speaker).result(PATIENCE_S) for speaker in ("S1", "S2"))
    assert (one.transcript, other.transcript) == ("[S1] It is 1.", "[S2] It is 1.")
    assert one.codes.equal(other.codes)


def test_requested_prompts_come_before_prefetched_ones(cache, encoder, prompt):
    cache.prefetch(prompt(1), "S1")
    assert encoder.begun.acquire(timeout=PATIENCE_S)
    for seconds in (2, 3):
        cache.prefetch(prompt(seconds), "S1")
    wanted = [cache.get(prompt(seconds), "S1") for seconds in (4, 3)]
    rest = cache.get(prompt(2), "S1")
    encoder.gate.set()
    for result in [*wanted, rest]:
        result.result(PATIENCE_S)
    assert encoder.lengths == [1, 4, 3, 2]


def test_prefetching_is_bounded(cache, encoder, prompt, monkeypatch):
    monkeypatch.setattr(cache_module, "MAX_PREFETCHED", 1)
    cache.prefetch(prompt(1), "S1")
    assert encoder.begun.acquire(timeout=PATIENCE_S)
    for seconds in (2, 3):
        cache.prefetch(prompt(seconds), "S1")
    encoder.gate.set()
    cache.get(prompt(2), "S1").result(PATIENCE_S)
    cache.get(prompt(4), "S1").result(PATIENCE_S)
    assert encoder.lengths == [1, 2, 4]


def test_least_recently_used_prompt_is_evicted(cache, encoder, prompt, monkeypatch):
    monkeypatch.setattr(cache_module, "MAX_PROMPTS", 2)
    encoder.gate.set()
    for seconds in (1, 2, 1, 3, 1, 2):
        cache.get(prompt(seconds), "S1").result(PATIENCE_S)
    assert encoder.lengths == [1, 2, 3, 2]


def test_failed_prompt_is_retried(cache, encoder, prompt, recording):
    encoder.gate.set()
    missing = VoiceSample(prompt(1).path.replace("1.wav", "5.wav"), "It is 5.")
    with pytest.raises(UnknownVoiceSample):
        cache.get(missing, "S1").result(PATIENCE_S)
    recording("5.wav", 5)
    assert cache.get(missing, "S1").result(PATIENCE_S).frames == 431


def test_encoder_error_fails_one_prompt(cache, encoder, prompt, monkeypatch, caplog):
    encoder.gate.set()

    def broken(samples):
        raise RuntimeError("out of order")

    with monkeypatch.context() as patch, pytest.raises(EngineFailure, match="cannot be encoded"):
        patch.setattr(encoder, "encode", broken)
        cache.get(prompt(1), "S1").result(PATIENCE_S)
    assert "out of order" in caplog.text
    assert cache.get(prompt(1), "S1").result(PATIENCE_S).frames == 87


def test_encoder_is_loaded_lazily_and_again_after_relieve(prompt):
    made = []

    def make():
        made.append(GatedEncoder())
        made[-1].gate.set()
        return made[-1]

    cache = VoicePromptCache(make)
    assert not made
    cache.get(prompt(1), "S1").result(PATIENCE_S)
    cache.relieve()
    cache.get(prompt(1), "S1").result(PATIENCE_S)
    cache.get(prompt(2), "S1").result(PATIENCE_S)
    assert [encoder.lengths for encoder in made] == [[1], [2]]
    cache.close()


def test_close_stops_between_windows_and_cancels_the_rest(cache, encoder, prompt):
    results = [cache.get(prompt(seconds), "S1") for seconds in (9, 2)]
    assert encoder.begun.acquire(timeout=PATIENCE_S)
    closing = threading.Thread(target=cache.close)
    closing.start()
    while not cache.closed:
        pass
    encoder.gate.set()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert not encoder.begun.acquire(blocking=False)
    for result in results:
        with pytest.raises(CancelledError):
            result.result(0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux threads have a niceness of their own")
def test_encoder_thread_has_lower_priority(cache, encoder, prompt):
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    encoder.gate.set()
    cache.get(prompt(1), "S1").result(PATIENCE_S)
    [thread] = [thread for thread in threading.enumerate() if thread.name == "voice encoder"]
    assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == max(own, 10)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
