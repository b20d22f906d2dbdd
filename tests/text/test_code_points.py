"""Surrogate pairs that arrive in halves."""

from __future__ import annotations

import pytest

from streaming_server.errors import BadValue
from streaming_server.text.code_points import CodePoints, check_code_points

HALF = "\ud83d"


def test_halves_are_joined_across_deltas() -> None:
    code_points = CodePoints()
    assert code_points.push("a" + HALF) == "a"
    assert code_points.push("\ude00b") == "😀b"
    code_points.flush()


@pytest.mark.parametrize("delta", ["\ude00", "a" + HALF + "b", HALF + HALF + "\ude00", "a\0b"])
def test_a_delta_without_its_other_half_is_not_taken(delta: str) -> None:
    code_points = CodePoints()
    with pytest.raises(BadValue):
        code_points.push(delta)
    assert code_points.push("Hi") == "Hi"


def test_a_whole_text_ends_with_no_half() -> None:
    check_code_points("a" + HALF + "\ude00")
    for text in (HALF, "Hi " + HALF, "a\0b"):
        with pytest.raises(BadValue):
            check_code_points(text)
