"""The part of a voice sample that is used, and its transcript."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from streaming_server.engines.dia.voices.prompt import MAX_PROMPT_FRAMES
from streaming_server.engines.dia.voices.recording import normalized_transcript, read_recording
from streaming_server.errors import BadAudio, StorageFailure, UnknownVoiceSample
from streaming_server.types import VoiceSample

HOP = 512


@pytest.mark.parametrize(
    ("transcript", "speaker", "script"),
    [
        ("It is me.", "S1", "[S1] It is me."),
        ("It is me.", "S2", "[S2] It is me."),
        ("[S1] It is me.", "S2", "[S1] It is me."),
        ("Hello. [s2] And you?", "S1", "[S1] Hello. [S2] And you?"),
        ("", "S1", ""),
    ],
)
def test_transcript_gets_missing_tags(transcript, speaker, script):
    assert normalized_transcript(VoiceSample("x.wav", transcript), speaker) == script


def test_samples_up_to_ten_seconds_are_used_whole(recording):
    heard = read_recording(recording("a.wav", 9.9), "[S1] Me.", 44100, HOP)
    assert len(heard.samples) == round(9.9 * 44100)
    assert heard.script == "[S1] Me."
    assert 0.1 < abs(heard.samples).max() <= 1


def test_longer_samples_are_cut_between_words_with_the_transcript(recording):
    script = "[S1] " + "word " * 39 + "word"
    heard = read_recording(recording("a.wav", 20), script, 44100, HOP)
    assert script.startswith(heard.script)
    assert heard.script.endswith("word")
    share = len(heard.script) / len(script)
    assert len(heard.samples) / (20 * 44100) == pytest.approx(share, abs=0.005)
    assert 9.5 * 44100 < len(heard.samples) <= MAX_PROMPT_FRAMES * HOP


@pytest.mark.parametrize("script", ["", "[S1] Hm.", "[S1] " + "a" * 400])
def test_transcript_without_word_boundary_is_cut_anyway(recording, script):
    heard = read_recording(recording("a.wav", 20), script, 44100, HOP)
    assert 0.99 * MAX_PROMPT_FRAMES * HOP < len(heard.samples) <= MAX_PROMPT_FRAMES * HOP
    assert script.startswith(heard.script)
    assert len(heard.script) <= max(5, len(script) // 2 + 1)


def test_unusable_sample_is_an_error_without_a_path(tmp_path, recording):
    whole = Path(recording("whole.wav", 1))
    torn, text = tmp_path / "torn.wav", tmp_path / "text.wav"
    torn.write_bytes(whole.read_bytes()[:-100])
    text.write_text("no sound at all")
    for path, error, reason in (
        (tmp_path / "gone.wav", UnknownVoiceSample, "no longer exists"),
        (tmp_path, StorageFailure, "cannot be read"),
        (text, BadAudio, "not a WAV file"),
        (torn, BadAudio, "truncated"),
        (recording("none.wav", 0), BadAudio, "empty"),
        (recording("slow.wav", 1, sample_rate=22050), BadAudio, "44100 Hz"),
        (recording("two.wav", 1, channels=2), BadAudio, "mono"),
    ):
        with pytest.raises(error, match=reason) as raised:
            read_recording(str(path), "", 44100, HOP)
        assert str(tmp_path) not in raised.value.message
