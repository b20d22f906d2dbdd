"""A context keeps its voice, pace and seed."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.serving.context import ContextState  # noqa: E402
from streaming_server.engines.dia.voices.prompt import (  # noqa: E402
    MAX_PROMPT_FRAMES,
    MIN_PROMPT_FRAMES,
    VoicePrompt,
)


def codes(frames, value=0):
    return torch.full((frames, 9), value)


def test_first_speech_becomes_the_prompt():
    context = ContextState()
    context.add_speech("[S1] Hello there.", codes(500), 12)
    assert context.prompt.transcript == "[S1] Hello there."
    assert context.prompt.frames == 500
    context.add_speech("[S1] And more.", codes(500, 1), 9)
    assert context.prompt.frames == 500


def test_short_prompt_is_extended_by_the_next_speech():
    context = ContextState()
    context.add_speech("[S1] Hi.", codes(100), 3)
    context.add_speech("[S1] How are you?", codes(400, 1), 12)
    assert context.prompt.transcript == "[S1] Hi. [S1] How are you?"
    assert context.prompt.frames == 500 >= MIN_PROMPT_FRAMES
    assert context.prompt.codes[100:].eq(1).all()


def test_long_prompt_is_cut_between_words_with_its_frames():
    context = ContextState()
    transcript = "[S1] " + "word " * 99 + "word"
    context.add_speech(transcript, codes(2000), 495)
    assert context.prompt.frames <= MAX_PROMPT_FRAMES
    assert transcript.startswith(context.prompt.transcript)
    assert context.prompt.transcript.endswith("word")
    share = len(context.prompt.transcript) / len(transcript)
    assert context.prompt.frames == pytest.approx(2000 * share, abs=1)


@pytest.mark.parametrize(
    ("transcript", "pace"),
    [("[S1] " + "a" * 95, 0.05), ("[S1] Me.", 0.136), ("[S1] " + "a" * 995, 0.034), ("", 0.068)],
)
def test_prompt_pace_is_the_first_estimate_within_bounds(transcript, pace):
    context = ContextState()
    context.use_prompt(VoicePrompt(transcript, codes(431)))
    assert context.pace == pytest.approx(pace, rel=0.01)


@pytest.mark.parametrize(("frames", "pace"), [(129, 0.136), (20, 0.058), (5, 0.034)])
def test_measured_pace_stays_within_bounds(frames, pace):
    context = ContextState()
    context.add_speech("[S1] Hi.", codes(frames), 4)
    assert context.pace == pytest.approx(pace, rel=0.01)


def test_voice_prompt_is_never_replaced():
    prompt = VoicePrompt("[S1] Me.", codes(50))
    context = ContextState()
    context.use_prompt(prompt)
    context.add_speech("[S1] Something else.", codes(500), 15)
    assert context.prompt is prompt


def test_empty_speech_is_ignored():
    context = ContextState()
    pace = context.pace
    context.add_speech("[S1] Hello.", codes(0), 6)
    assert context.prompt is None
    assert context.pace == pace


def test_seeds_are_repeatable_and_differ_per_segment():
    one, other = ContextState(), ContextState()
    seeds = [one.next_seed(7) for _ in range(4)]
    assert [other.next_seed(7) for _ in range(4)] == seeds
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert ContextState().next_seed(None) != ContextState().next_seed(None)
