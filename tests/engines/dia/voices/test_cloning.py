"""Cloned voices continue from their prompt, and encoding it delays no other stream."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from helpers import tiny_dia
from helpers.spoken import drain, pcm

torch = pytest.importorskip("torch")

from helpers.checkpoints import codec_document, write_checkpoint  # noqa: E402

from streaming_server.engines.dia.model.config import TINY_CODEC, TINY_DIA  # noqa: E402
from streaming_server.engines.dia.serving.admission import MIN_SPEECH_FRAMES  # noqa: E402
from streaming_server.engines.dia.serving.load import create_engine  # noqa: E402
from streaming_server.engines.dia.voices.encoder import PromptEncoder  # noqa: E402
from streaming_server.engines.dia.weights.random_init import random_tensors  # noqa: E402
from streaming_server.engines.dia.weights.shapes import codec_shapes  # noqa: E402
from streaming_server.types import (  # noqa: E402
    DEFAULT_VOICE,
    Failed,
    Finished,
    Generation,
    Utterance,
    Voice,
    VoiceSample,
)

TEXT = "Hello there, this is a sentence that is spoken."
FRAME_BYTES = 2 * TINY_CODEC.hop
TAIL_ROWS = TINY_DIA.last_delay + 2
PATIENCE_S = 30


@pytest.fixture
def engine():
    made = create_engine("random:tiny", device="cpu", slots=4)
    yield made
    made.close()


@pytest.fixture
def cloned(recording):
    """seconds → a voice cloned from a recording of that length."""

    def make(seconds, transcript="It is me.", speaker="S1"):
        path = recording(f"{seconds}.wav", seconds, seed=int(seconds * 1000))
        return Voice("me", "Me", "plain", speaker, VoiceSample(path, transcript))

    return make


@pytest.fixture
def gate(monkeypatch):
    """While it is shut, no prompt gets ready."""
    opened, encode = threading.Event(), PromptEncoder.encode

    def gated(self, samples):
        assert opened.wait(PATIENCE_S)
        yield from encode(self, samples)

    monkeypatch.setattr(PromptEncoder, "encode", gated)
    yield opened
    opened.set()


def said(number, voice=DEFAULT_VOICE, text=TEXT, context=None, max_tokens=250):
    own = number if context is None else context
    return Utterance(number, own, text, voice, Generation(max_tokens=max_tokens, seed=1), time.monotonic())


def once(engine, utterance):
    """Return the audio of an utterance in a context of its own."""
    sound = pcm(drain(engine, [utterance]), utterance.id)
    engine.release(utterance.context)
    return sound


def test_voice_continues_from_its_prompt_without_playing_it(engine, cloned):
    assert engine.info.can_clone
    events = drain(engine, [said(1, cloned(1))])
    assert isinstance(events[-1], Finished)
    # The client's limit is on what it hears; the prompt comes on top.
    assert len(pcm(events, 1)) == FRAME_BYTES * (250 - TAIL_ROWS)
    assert engine.contexts[1].prompt.transcript == "[S1] It is me."
    assert engine.contexts[1].prompt.frames == 87


def test_different_samples_give_different_voices(engine, cloned):
    one, other = (once(engine, said(number, cloned(1 + number / 1000))) for number in (0, 1))
    assert len(one) == len(other)
    assert one != other


def test_context_keeps_the_voice_prompt(engine, cloned):
    voice = cloned(1)
    drain(engine, [said(1, voice, context=7)])
    prompt = engine.contexts[7].prompt
    drain(engine, [said(2, voice, context=7)])
    assert engine.contexts[7].prompt is prompt


def test_a_voice_sounds_the_same_each_time(engine, cloned):
    voice = cloned(2)
    first = once(engine, said(1, voice))
    assert once(engine, said(2, voice)) == first
    engine.relieve()
    assert once(engine, said(3, voice)) == first


def test_prepared_voice_is_ready_at_once(engine, cloned, gate):
    voice = cloned(1)
    engine.prepare(voice)
    engine.prepare(DEFAULT_VOICE)
    gate.set()
    assert engine.active == 0
    engine.voice_prompts.get(voice.voice_sample, "S1").result(PATIENCE_S)
    engine.submit(said(1, voice))
    engine.step()
    assert engine.streams.by_slot[0].row == 88


def test_other_streams_advance_while_a_prompt_is_encoded(engine, cloned, gate):
    engine.submit(said(1))
    engine.step()
    engine.submit(said(2, cloned(1)))
    row = engine.streams.by_slot[0].row
    for step in range(1, 41):
        engine.step()
        assert engine.streams.by_slot[0].row == row + step
    assert list(engine.streams.by_slot) == [0]
    assert engine.active == 2
    gate.set()
    events = drain(engine, [])
    assert {event.utterance for event in events if isinstance(event, Finished)} == {1, 2}


def test_idle_step_waits_briefly_for_a_prompt(engine, cloned, gate):
    engine.submit(said(1, cloned(1)))
    assert [engine.step() for _ in range(3)] == [[], [], []]
    assert engine.active == 1
    gate.set()
    assert isinstance(drain(engine, [])[-1], Finished)


def test_cancel_while_the_prompt_is_encoded(engine, cloned, gate):
    voice = cloned(1)
    engine.submit(said(1, voice))
    engine.submit(said(2, voice))
    engine.step()
    engine.cancel(1)
    assert engine.active == 1
    gate.set()
    assert {event.utterance for event in drain(engine, [])} == {2}


def test_missing_sample_fails_one_utterance_and_is_retried(engine, cloned, recording):
    there = cloned(1)
    gone = replace(
        there, voice_sample=VoiceSample(there.voice_sample.path.replace("1.wav", "2.wav"), "It is me.")
    )
    events = drain(engine, [said(1, gone), said(2, there), said(3)])
    (failure,) = [event for event in events if event.utterance == 1]
    assert failure == Failed(
        1, "unknown_prompt", "The voice sample no longer exists; upload it again.", False
    )
    assert {event.utterance for event in events if isinstance(event, Finished)} == {2, 3}
    recording("2.wav", 2)
    assert pcm(drain(engine, [said(4, gone, context=1)]), 4)


def test_transcript_without_room_for_text_is_rejected(engine, cloned):
    (failure,) = drain(engine, [said(1, cloned(1, "very long " * 100))])
    assert isinstance(failure, Failed)
    assert failure.code == "bad_value"
    assert "too long" in failure.message


def test_sample_without_room_for_speech_is_rejected(tmp_path, cloned):
    tiny_dia.options_of(tmp_path)
    engine = create_engine(str(tmp_path / "model"), "random:tiny", device="cpu", slots=2)
    room = engine.runner.slots.frames - TINY_DIA.last_delay - 2
    longest = (room - MIN_SPEECH_FRAMES) * TINY_CODEC.hop / TINY_CODEC.sample_rate
    long, longer, fits = cloned(6), cloned(longest + 0.01), cloned(longest - 0.001)
    events = drain(engine, [said(1, long), said(2, longer), said(3, fits), said(4)])
    for number in (1, 2):
        (failure,) = [event for event in events if event.utterance == number]
        assert isinstance(failure, Failed)
        assert failure.code == "bad_value"
        assert "sample is too long" in failure.message
    assert {event.utterance for event in events if isinstance(event, Finished)} == {3, 4}
    assert 0 < len(pcm(events, 3)) <= FRAME_BYTES * MIN_SPEECH_FRAMES
    engine.close()


def test_codec_without_encoder_speaks_but_does_not_clone(tmp_path, cloned, caplog):
    decoder = dict(random_tensors(codec_shapes(TINY_CODEC), torch.device("cpu"), torch.float32))
    write_checkpoint(tmp_path, codec_document(TINY_CODEC), decoder)
    engine = create_engine("random:tiny", str(tmp_path), device="cpu", slots=1)
    assert not engine.info.can_clone
    assert "cannot be cloned" in caplog.text
    voice = cloned(1)
    engine.prepare(voice)
    assert once(engine, said(1, voice)) == once(engine, said(2))
    engine.close()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_voice_is_cloned_on_a_gpu_beside_other_streams(cloned):
    engine = create_engine("random:tiny", device="cuda", slots=4)
    events = drain(engine, [said(1), said(2, cloned(1)), said(3)])
    assert {event.utterance for event in events if isinstance(event, Finished)} == {1, 2, 3}
    assert len(pcm(events, 2)) <= FRAME_BYTES * (250 - 87 - TAIL_ROWS)
    engine.close()
