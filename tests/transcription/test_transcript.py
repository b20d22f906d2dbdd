"""Findings on transcripts and which transcripts are trusted."""

from __future__ import annotations

import math
import time
import unicodedata

import pytest
from hypothesis import given as each
from hypothesis import strategies as st

from streaming_server.transcription.transcript import (
    SENTENCES,
    Segment,
    clean,
    findings,
    whisper_transcript,
    written_transcript,
)

FAIR = "I have never been to the coast, but they say that the light there is worth the journey."
CLEAR = Segment(0.0, 6.0, avg_logprob=-0.2, no_speech_prob=0.01)


def test_a_plausible_transcript_is_trusted() -> None:
    transcript = whisper_transcript(f" {FAIR}\n", [CLEAR], 6.0, "en", 0.98)
    assert transcript.text == FAIR
    assert (transcript.language, transcript.language_probability) == ("en", 0.98)
    assert transcript.source == "whisper"
    assert transcript.findings == transcript.warnings == ()
    assert transcript.trustworthy


@pytest.mark.parametrize(
    ("text", "segments", "duration_s", "found"),
    [
        pytest.param("", [CLEAR], 6.0, ("empty",), id="nothing"),
        pytest.param("… !", [CLEAR], 6.0, ("empty",), id="punctuation alone"),
        pytest.param("", [], 6.0, ("no_speech",), id="every window skipped as silence"),
        pytest.param(
            "Thank you.", [Segment(0.0, 2.0, -1.4, 0.9)], 6.0, ("no_speech",), id="words made up of silence"
        ),
        pytest.param(
            "Thank you.", [Segment(0.0, 2.0, -0.3, 0.9)], 6.0, (), id="sure of the words all the same"
        ),
        pytest.param("Thank you.", [Segment(0.0, 2.0, -1.4, 0.3)], 6.0, ("uncertain",), id="mumbled"),
        pytest.param(
            "Thank you.", [Segment(0.0, 2.0, math.nan, 0.3)], 6.0, ("uncertain",), id="not a number"
        ),
        pytest.param(
            FAIR,
            [Segment(0.0, 5.5, -0.2, 0.0), Segment(5.5, 6.0, -2.0, 0.1)],
            6.0,
            (),
            id="one bad piece among good ones",
        ),
        pytest.param(FAIR, [CLEAR], 2.0, ("too_long",), id="five seconds of words in two"),
        pytest.param("今日は天気がいいから散歩しましょう", [CLEAR], 3.0, (), id="Japanese at its pace"),
        pytest.param(
            "今日は天気がいいから散歩しましょう", [CLEAR], 1.0, ("too_long",), id="Japanese too fast"
        ),
        pytest.param("la " * 30, [CLEAR], 20.0, ("repeats",), id="a word over and over"),
        pytest.param(
            "Thank you. I will see you. " * 4, [CLEAR], 20.0, ("repeats",), id="sentences over and over"
        ),
        pytest.param("ありがとう" * 6, [CLEAR], 20.0, ("repeats",), id="without spaces"),
        pytest.param(
            "One thing, one THING; one thing. One thing!",
            [CLEAR],
            6.0,
            ("repeats",),
            id="case and points aside",
        ),
        pytest.param("a" * 300, [CLEAR], 20.0, ("repeats",), id="one endless word"),
        pytest.param("No, no, no, no! I said no.", [CLEAR], 6.0, (), id="people do repeat themselves"),
        pytest.param("हर सुबह वह नदी के किनारे टहलने जाती है।", [CLEAR], 5.0, (), id="Hindi"),
        pytest.param("ฉันอยากไปเดินเล่นที่ชายหาด", [CLEAR], 4.0, (), id="Thai"),
    ],
)
def test_findings(text: str, segments: list[Segment], duration_s: float, found: tuple[str, ...]) -> None:
    transcript = whisper_transcript(text, segments, duration_s, "en", 0.9)
    assert transcript.findings == found
    assert transcript.trustworthy == (not found)
    assert transcript.warnings == tuple(SENTENCES[code] for code in found)


def test_real_text_is_not_a_loop() -> None:
    text = (
        "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my "
        "purse, and nothing particular to interest me on shore, I thought I would sail about a little and "
        "see the watery part of the world. It is a way I have of driving off the spleen and regulating the "
        "circulation. Whenever I find myself growing grim about the mouth; whenever it is a damp, drizzly "
        "November in my soul; whenever I find myself involuntarily pausing before coffin warehouses, then, "
        "I account it high time to get to sea as soon as I can."
    )
    assert findings(text, [CLEAR], 35.0) == ()


def test_a_written_transcript_is_trusted_unless_it_is_empty() -> None:
    chant = written_transcript("Ho! " * 20, "manual", 10.0)
    assert chant.findings == ("repeats",)
    assert chant.warnings
    assert chant.trustworthy
    assert not written_transcript(" \n", "manual", 10.0).trustworthy
    assert not written_transcript("Ho! " * 20, "txt", 10.0).trustworthy


def test_cleaning_leaves_one_line() -> None:
    assert clean(" Bonjour,\r\n\tça\u00a0va\u2028? ") == "Bonjour, ça va ?"
    assert clean("e\u0301te\u0301") == "été"
    assert clean("a\x00b\ufeffc\u202ed\ufffd\ud800") == "abcd"
    assert clean("नमस्\u200dते") == "नमस्\u200dते"
    assert clean("[S1] Hello. (laughs)") == "[S1] Hello. (laughs)"


@each(st.text(max_size=200), st.floats(0.0, 60.0))
def test_any_text_can_be_checked(text: str, duration_s: float) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    transcript = written_transcript(text, "txt", duration_s)
    assert set(transcript.findings) <= SENTENCES.keys()
    assert transcript.text == once


def test_a_very_long_text_is_checked_quickly() -> None:
    started = time.process_time()
    assert findings("never again " * 100_000, None, 60.0) == ("too_long", "repeats")
    assert time.process_time() - started < 2.0
