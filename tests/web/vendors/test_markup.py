"""Tags are not read aloud, however a client cuts its text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_server.web.vendors.markup import LONGEST_TAG, TagFilter, without_tags

TAGGED = (
    'One<break time="1.0s" />two <Break/> <phoneme alphabet="ipa" ph="θɹiː">three</phoneme>, <s>four</s>.'
)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ('One.<break time="1.0s" />Two.', "One. Two."),
        ("<speak>One</speak>", "One"),
        ('<phoneme alphabet="ipa" ph="a">One</phoneme>.', "One."),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("I <3 you, <b>really</b>", "I <3 you, <b>really</b>"),
        ("<breakfast>", "<breakfast>"),
        ("a <break", "a <break"),
    ],
)
def test_tags_alone_go(text: str, spoken: str) -> None:
    assert without_tags(text) == spoken
    pieces = TagFilter()
    assert "".join(map(pieces.push, text)) + pieces.finish() == spoken


@given(st.lists(st.integers(0, len(TAGGED))))
def test_however_a_text_is_cut(cuts: list[int]) -> None:
    edges = sorted({0, *cuts, len(TAGGED)})
    pieces = TagFilter()
    said = [pieces.push(TAGGED[a:b]) for a, b in pairwise(edges)]
    assert "".join(said) + pieces.finish() == without_tags(TAGGED)


@given(st.text(alphabet="<>/ abeksr=", max_size=40))
def test_nothing_is_held_back_but_the_beginning_of_a_tag(text: str) -> None:
    pieces = TagFilter()
    said = pieces.push(text)
    held = pieces.finish()
    assert said + held == without_tags(text)
    assert not held or held.startswith("<")
    assert ">" not in held


def test_no_tag_is_waited_for_without_end() -> None:
    pieces = TagFilter()
    text = "<break " + "a" * 2 * LONGEST_TAG
    assert "".join(map(pieces.push, text)) == text


@pytest.mark.parametrize("cut", range(len(TAGGED)))
def test_wherever_a_text_is_cut_in_two(cut: int) -> None:
    pieces = TagFilter()
    assert pieces.push(TAGGED[:cut]) + pieces.push(TAGGED[cut:]) + pieces.finish() == without_tags(TAGGED)
