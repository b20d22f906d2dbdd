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
    *(
        "*laughs ",
        "[sighs deeply",
        "a->",
        "1/2/",
        "1x",
        "1 x ",
        "00:",
        "a=",
        "1st-",
        "$1-",
        "0800 ",
        "f0",
        "$$a",
        "1 - ",
    ),
    *("\u200d", "\u200b", "👩", "🇩🇪", "中", "עב", "IV ", "World War ", "http://a.b/", "5 kg ", "(laughs"),
)
ENDS = ("", "_", "!", " ", "a_", ".1", "\n", "@x", ")", "'")

LISTED = Pronunciations({"": {"abc": Pronunciation("x")}})


PIECE = 256
MOST_PIECE_S = 0.006
"""CPU time for one piece of a long text on a busy machine; it is 2 ms on a quiet one."""
SLOWEST = ("\n1. ", "1 ", "(a1 ", "$1 ", "= ", "_", "½", "1/2 ", "~~a", "A", "中", "<prosody rate='slow'>a ")


@pytest.mark.parametrize("atom", SLOWEST, ids=ascii)
def test_a_piece_of_a_long_text_does_not_hold_up_the_event_loop(atom: str) -> None:
    assert any(slowest_piece_s((atom * LENGTH)[:LENGTH]) < MOST_PIECE_S for _ in range(4))


def narration_of(style: SpeakingStyle) -> Narration:
    """Return a narration as the default engine has it."""
    policy = ChunkPolicy(0, 1, 400, 0.0)
    return Narration(policy, style, detect_language=True, mix_languages=True, inline_prosody=True)


def slowest_piece_s(text: str) -> float:
    """Return the most CPU time that one piece of a text takes."""
    narration = narration_of(SpeakingStyle(pitch=True))
    slowest = 0.0
    for at in range(0, len(text), PIECE):
        began = time.thread_time()
        narration.append(text[at : at + PIECE])
        slowest = max(slowest, time.thread_time() - began)
    return slowest


def is_fast(text: str) -> bool:
    """Return whether a whole text takes less than MOST_S, at one of several attempts on a busy machine."""
    return any(cpu_s(text) < MOST_S for _ in range(3))


def cpu_s(text: str) -> float:
    """Return the CPU time that a whole text takes."""
    narration = narration_of(SpeakingStyle(pronunciations=lambda: LISTED))
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
            assert is_fast(f"a {atom * count}"[: LENGTH - len(end)] + end), (count, end)


@pytest.mark.slow
@pytest.mark.parametrize("atom", ATOMS, ids=ascii)
def test_pairs_are_read_in_linear_time(atom: str) -> None:
    for other in ATOMS:
        text = f"{(atom + other) * 100}_ {atom * 60}{other * 60}_ "
        assert is_fast(text[:LENGTH]), other
