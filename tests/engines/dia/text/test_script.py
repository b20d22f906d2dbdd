"""Written text becomes Dia's script."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.engines.dia.text.script import (
    ScriptSegment,
    build_script,
    encode_script,
    is_speakable,
    last_speaker,
    next_segment,
    normalize_script,
    spoken_words,
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Hello.", "[S1] Hello."),
        ("[s1] Hello. [ s2 ] Hi.", "[S1] Hello. [S2] Hi."),
        ("[S1] One. [S1] Two. [S2] Three.", "[S1] One. Two. [S2] Three."),
        ("[S2] You first.", "[S2] You first."),
        ("Hi. [S2]", "[S1] Hi."),
        ("[S1] [S2] Only I speak.", "[S2] Only I speak."),
        ("two\n lines\x00\x01 and\ttabs", "[S1] two lines and tabs"),
        ("(Laughs) Well (for now) go.", "[S1] (laughs) Well (for now) go."),
        ("[S1] [S2]", ""),
        ("  ", ""),
    ],
)
def test_normalize_script(written, read):
    assert normalize_script(written) == read


def test_second_speaker_begins_with_its_tag():
    assert normalize_script("Hello.", "S2") == "[S2] Hello."


@pytest.mark.parametrize(
    ("transcript", "script", "whole"),
    [
        ("", "[S1] Hello.", "[S1] Hello. [S2]"),
        ("", "[S2] Hello.", "[S2] Hello. [S1]"),
        ("", "[S1] Hello. [S2] Hi.", "[S1] Hello. [S2] Hi. [S1]"),
        ("[S1] Before.", "[S1] After.", "[S1] Before. After. [S2]"),
        ("[S2] Before.", "[S1] After.", "[S2] Before. [S1] After. [S2]"),
    ],
)
def test_build_script_prepends_the_transcript_and_protects_the_ending(transcript, script, whole):
    assert build_script(transcript, script) == whole


def test_encode_script_maps_tags_to_single_bytes():
    assert encode_script("[S1] é [S2]") == b"\x01 \xc3\xa9 \x02"


def test_last_speaker_ignores_case():
    assert last_speaker("[S1] a [s2] b", "S1") == "S2"
    assert last_speaker("nobody named", "S2") == "S2"


def test_short_text_is_one_segment():
    assert parts("Hello there.", "S1", 100) == [ScriptSegment(0, 12, "[S1] Hello there.", "S1")]


def test_long_text_is_split_after_sentences_and_keeps_its_speaker():
    text = "[S2] First sentence. Second sentence. Third one."
    assert [part.script for part in parts(text, "S1", 24)] == [
        "[S2] First sentence.",
        "[S2] Second sentence.",
        "[S2] Third one.",
    ]


pieces = st.sampled_from([*"ab. é漢!?\n", "[S1]", "[S2]", "[s1]", "(laughs)"])
texts = st.lists(pieces, max_size=120).map("".join) | st.text(max_size=80)


@given(texts, st.integers(min_value=10, max_value=60))
def test_segments_respect_the_limit_and_lose_no_word(text, limit):
    found = parts(text, "S1", limit)
    assert all(len(encode_script(part.script)) <= limit for part in found)
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))
    assert "".join(_letters(part.script) for part in found) == _letters(normalize_script(text))
    assert all(is_speakable(part.script) for part in found)


@given(texts, st.integers(min_value=10, max_value=60))
def test_segments_continue_with_the_current_speaker(text, limit):
    for part in parts(text, "S1", limit):
        speaker = last_speaker(text[: part.start], "S1")
        assert part.script == normalize_script(text[part.start : part.end], speaker)
        assert part.then == last_speaker(text[: part.end], "S1")


@pytest.mark.parametrize("text", ["", "...", "!!! —", "[S1] ... [S2] ?!", "(…)", "👍", "€ %", "[s1]"])
def test_text_without_letters_or_digits_has_no_segments(text):
    assert not is_speakable(text)
    assert parts(text, "S1", 100) == []


@given(texts)
def test_normalize_script_is_idempotent_and_alternates_tags(text):
    once = normalize_script(text)
    assert normalize_script(once) == once
    tags = [byte for byte in encode_script(once) if byte in (1, 2)]
    assert all(before != after for before, after in itertools.pairwise(tags))
    assert 0 not in encode_script(once)


def _letters(script):
    script = re.sub(r"\[\s*[sS]\s*[12]\s*\]", " ", script)
    return "".join(character for character in script if character.isalnum())


def parts(text, speaker, limit):
    """Return all segments of a text, in order."""
    found = []
    part = next_segment(text, 0, speaker, limit)
    while part is not None:
        found.append(part)
        part = next_segment(text, part.end, part.then, limit)
    return found


def test_spoken_words_skips_tags():
    text = "[S1] Hi, you — [S2]there."
    assert [text[slice(*word)] for word in spoken_words(text, 0, len(text))] == ["Hi,", "you", "there."]
