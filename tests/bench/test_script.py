"""Replies of the simulated language model."""

from __future__ import annotations

import random

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.bench.script import SENTENCES, replies, reply, tokens


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_white_space_belongs_to_the_next_word() -> None:
    assert tokens("One  two.\nThree") == ["One", "  two.", "\nThree"]


def test_a_reply_is_a_start_a_message_per_token_and_a_finish() -> None:
    said = [orjson.loads(frame) for frame in reply(("Hello there.", "How are you?")).messages]
    assert [message["type"] for message in said] == ["start", *["text"] * 5, "finish"]
    assert "".join(message.get("text", "") for message in said) == "Hello there. How are you?"
    assert {message["context"] for message in said} == {"reply"}


def test_white_space_completes_the_first_sentence() -> None:
    spoken = reply(("Hello there.", "How are you?"))
    assert orjson.loads(spoken.messages[spoken.complete])["text"] == " How"


def test_finish_completes_a_single_sentence() -> None:
    spoken = reply(("Hello there.",))
    assert orjson.loads(spoken.messages[spoken.complete])["type"] == "finish"


def test_a_message_completes_each_sentence() -> None:
    spoken = reply(("Hello there.", "How are you?"))
    assert spoken.message_completing(len("Hello there.")) == spoken.complete
    assert orjson.loads(spoken.messages[spoken.message_completing(len(spoken.text))])["type"] == "finish"


def test_the_same_seed_gives_the_same_replies() -> None:
    assert replies(20, random.Random(3)) == replies(20, random.Random(3))
    assert replies(20, random.Random(3)) != replies(20, random.Random(4))


def test_the_segmenter_splits_exactly_between_sentences() -> None:
    for sentence in SENTENCES:
        assert sentence[-1] in ".!?"
        assert not set(sentence[:-1]) & set(".!?")
