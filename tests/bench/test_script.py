"""What the simulated language model says."""

from __future__ import annotations

import random

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.bench.script import SENTENCES, replies, reply, tokens


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_white_space_goes_with_the_word_behind_it() -> None:
    assert tokens("One  two.\nThree") == ["One", "  two.", "\nThree"]


def test_a_reply_is_a_start_a_message_per_token_and_a_finish() -> None:
    said = [orjson.loads(frame) for frame in reply(("Hello there.", "How are you?")).messages]
    assert [message["type"] for message in said] == ["start", *["text"] * 5, "finish"]
    assert "".join(message.get("text", "") for message in said) == "Hello there. How are you?"
    assert {message["context"] for message in said} == {"reply"}


def test_the_first_sentence_is_complete_with_the_white_space_behind_it() -> None:
    spoken = reply(("Hello there.", "How are you?"))
    assert orjson.loads(spoken.messages[spoken.complete])["text"] == " How"


def test_a_lone_sentence_is_complete_with_the_finish() -> None:
    spoken = reply(("Hello there.",))
    assert orjson.loads(spoken.messages[spoken.complete])["type"] == "finish"


def test_every_sentence_has_a_message_that_completes_it() -> None:
    spoken = reply(("Hello there.", "How are you?"))
    assert spoken.message_completing(len("Hello there.")) == spoken.complete
    assert orjson.loads(spoken.messages[spoken.message_completing(len(spoken.text))])["type"] == "finish"


def test_the_same_seed_gives_the_same_replies() -> None:
    assert replies(20, random.Random(3)) == replies(20, random.Random(3))
    assert replies(20, random.Random(3)) != replies(20, random.Random(4))


def test_sentences_end_where_they_should_and_nowhere_else() -> None:
    for sentence in SENTENCES:
        assert sentence[-1] in ".!?"
        assert not set(sentence[:-1]) & set(".!?")
