"""A turn keeps its voice, its pace and its dice."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.serving.context import ENOUGH_FRAMES, MOST_FRAMES, Turn, VoicePrompt  # noqa: E402


def codes(frames, value=0):
    return torch.full((frames, 9), value)


def test_the_first_words_become_the_prompt():
    turn = Turn()
    turn.heard("[S1] Hello there.", codes(500), 12)
    assert turn.prompt.transcript == "[S1] Hello there."
    assert turn.prompt.frames == 500
    turn.heard("[S1] And more.", codes(500, 1), 9)
    assert turn.prompt.frames == 500


def test_short_first_words_are_made_longer_by_the_next():
    turn = Turn()
    turn.heard("[S1] Hi.", codes(100), 3)
    turn.heard("[S1] How are you?", codes(400, 1), 12)
    assert turn.prompt.transcript == "[S1] Hi. [S1] How are you?"
    assert turn.prompt.frames == 500 >= ENOUGH_FRAMES
    assert turn.prompt.codes[100:].eq(1).all()


def test_long_first_words_are_cut_between_words_with_their_frames():
    turn = Turn()
    transcript = "[S1] " + "word " * 99 + "word"
    turn.heard(transcript, codes(2000), 495)
    assert turn.prompt.frames <= MOST_FRAMES
    assert transcript.startswith(turn.prompt.transcript)
    assert turn.prompt.transcript.endswith("word")
    share = len(turn.prompt.transcript) / len(transcript)
    assert turn.prompt.frames == pytest.approx(2000 * share, abs=1)


@pytest.mark.parametrize(
    ("transcript", "pace"),
    [("[S1] " + "a" * 95, 0.05), ("[S1] Me.", 0.136), ("[S1] " + "a" * 995, 0.034), ("", 0.068)],
)
def test_the_pace_of_a_prompt_is_the_first_guess_within_reason(transcript, pace):
    turn = Turn()
    turn.go_on_from(VoicePrompt(transcript, codes(431)))
    assert turn.pace == pytest.approx(pace, rel=0.01)


def test_a_voice_of_its_own_is_never_replaced():
    prompt = VoicePrompt("[S1] Me.", codes(50))
    turn = Turn()
    turn.go_on_from(prompt)
    turn.heard("[S1] Something else.", codes(500), 15)
    assert turn.prompt is prompt


def test_silence_teaches_nothing():
    turn = Turn()
    pace = turn.pace
    turn.heard("[S1] Hello.", codes(0), 6)
    assert turn.prompt is None
    assert turn.pace == pace


def test_a_seed_makes_a_turn_repeatable_and_its_readings_differ():
    one, other = Turn(), Turn()
    seeds = [one.next_seed(7) for _ in range(4)]
    assert [other.next_seed(7) for _ in range(4)] == seeds
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert Turn().next_seed(None) != Turn().next_seed(None)
