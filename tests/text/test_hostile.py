"""Text made to be slow to read takes time in proportion to its length."""

from __future__ import annotations

import time

import pytest

from streaming_server.text.narration import Narration
from streaming_server.text.pronunciations import Pronunciation, Pronunciations
from streaming_server.text.style import SpeakingStyle
from streaming_server.types import ChunkPolicy

LENGTH = 2048
MOST_S = 0.5
"""CPU time for LENGTH characters on a busy machine. It is 10 ms at most on a quiet one; where a pattern
backtracks exponentially, it is hours."""

ATOMS = (
    *("a", "A", "1", "a1", "1,", "1.", "1-", "a-", "a.", "A.", "-", "–", ".", ",", ":", "/", "1/", "1:"),
    *("@", "a@", "$", "$1", "%", "(", "((", ")", "+", "+1", "*", "_", "`", "~", "[", "](", "[a](b)"),
    *("<", "<a ", "<a b='", "<sub alias='x'>", "&", "&a", "&#1", "#", "|", "'", '"', "\\", "=", "\n", " "),
    *(
        "\n|",
        "\n- ",
        "\n1. ",
        "\n```",
        "\n> ",
        "St. ",
        "p.m. ",
        "U.S. ",
        "Jan ",
        "x",
        "×",
        "½",
        "é",
        "\u0301",
    ),
    *("\u200d", "\u200b", "👩", "🇩🇪", "中", "עב", "IV ", "World War ", "http://a.b/", "5 kg ", "(laughs"),
)
ENDS = ("", "_", "!", " ", "a_", ".1", "\n", "@x", ")", "'")

LISTED = Pronunciations({"": {"abc": Pronunciation("x")}})


def cpu_s(text: str) -> float:
    """Return the CPU time that a whole text takes."""
    style = SpeakingStyle(pronunciations=lambda: LISTED)
    narration = Narration(ChunkPolicy(0, 1, 400, 0.0), style, detect_language=True)
    began = time.thread_time()
    narration.append(text)
    narration.finish()
    while narration.take(first=False) is not None:
        pass
    return time.thread_time() - began


@pytest.mark.parametrize("atom", ATOMS, ids=ascii)
def test_repetition_is_read_in_linear_time(atom: str) -> None:
    for count in (30, 190, LENGTH):
        for end in ENDS:
            assert cpu_s(f"a {atom * count}"[: LENGTH - len(end)] + end) < MOST_S, (count, end)


@pytest.mark.slow
@pytest.mark.parametrize("atom", ATOMS, ids=ascii)
def test_pairs_are_read_in_linear_time(atom: str) -> None:
    for other in ATOMS:
        text = f"{(atom + other) * 100}_ {atom * 60}{other * 60}_ "
        assert cpu_s(text[:LENGTH]) < MOST_S, other
