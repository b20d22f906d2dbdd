"""The text that `say` speaks, as it arrives at standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from streaming_server.cli.input_text import MOST_UNSENT, READ_BYTES, InputText
from streaming_server.errors import SpeechError

pytestmark = pytest.mark.anyio

ENOUGH = 10_000_000
"""More characters than any of these texts has."""


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Replace standard input by a pipe, and return the descriptor to write to. The test closes it."""
    reading, writing = os.pipe()
    with open(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield writing


async def test_pieces_arrive_before_the_input_ends(typed: int) -> None:
    text = InputText.from_standard_input()
    pieces = text.pieces(100, 0, ENOUGH)
    with anyio.fail_after(5):
        for said in ("One. ", "Two. "):
            os.write(typed, said.encode())
            assert await anext(pieces) == said
            assert text.characters is None
        os.close(typed)
        assert [piece async for piece in pieces] == []
    assert text.characters == 10


async def test_a_piece_is_no_longer_than_asked(typed: int) -> None:
    os.write(typed, b"abcdefgh")
    os.close(typed)
    text = InputText.from_standard_input()
    with anyio.fail_after(5):
        assert "".join([piece async for piece in text.pieces(100, 0, ENOUGH)]) == "abcdefgh"
        assert [piece async for piece in text.pieces(3, 0, ENOUGH)] == ["abc", "def", "gh"]


async def test_a_character_may_arrive_in_two_parts(typed: int) -> None:
    text = InputText.from_standard_input()
    pieces = text.pieces(100, 0, ENOUGH)
    with anyio.fail_after(5):
        os.write(typed, b"caf\xc3")
        assert await anext(pieces) == "caf"
        os.write(typed, b"\xa9\xff")
        os.close(typed)
        assert [piece async for piece in pieces] == ["é\N{REPLACEMENT CHARACTER}"]


async def test_a_text_of_an_argument_is_complete() -> None:
    text = InputText.of(b"Hello \xff")
    assert text.characters == 7
    assert [piece async for piece in text.pieces(100, 0, ENOUGH)] == ["Hello \N{REPLACEMENT CHARACTER}"]


async def test_no_more_is_read_ahead_than_can_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "long"
    file.write_bytes(b"x" * 3 * MOST_UNSENT)
    with file.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        text = InputText.from_standard_input()
        pieces = text.pieces(READ_BYTES, 0, ENOUGH)
        with anyio.fail_after(10):
            characters = len(await anext(pieces))
            while os.lseek(stdin.fileno(), 0, os.SEEK_CUR) < MOST_UNSENT:
                await anyio.sleep(0.001)
            await anyio.sleep(0.05)
            assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) < MOST_UNSENT + 2 * READ_BYTES
            async for piece in pieces:
                characters += len(piece)
    assert characters == text.characters == 3 * MOST_UNSENT


async def test_an_input_that_cannot_be_read_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with anyio.fail_after(5), pytest.raises(SpeechError, match=r"^Standard input cannot be read: Bad file"):
        await anext(InputText.from_standard_input().pieces(100, 0, ENOUGH))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One. " * 19 + "Six is here. The end", "One. " * 19),
        (" A sentence." * 9, " A sentence." * 8 + " "),
        ("x" * 92 + "\nand more of the text", "x" * 92 + "\n"),
        ("word " * 30, "word " * 20),
        ("x" * 150, "x" * 100),
        ("好。" * 80, "好。" * 50),
        ("One. " * 19 + "more.", "One. " * 19 + "more."),
    ],
    ids=["sentence", "space-first", "line", "word", "one-word", "chinese", "whole"],
)
@pytest.mark.parametrize("longest", [7, 1000])
async def test_pieces_end_between_sentences_before_the_limit(text: str, first: str, longest: int) -> None:
    one = InputText.of(text.encode())
    assert "".join([piece async for piece in one.pieces(longest, 0, 100)]) == first
    assert "".join([piece async for piece in one.pieces(longest, len(first), 100)]) == text[len(first) :]


async def test_pieces_that_arrive_word_by_word_end_between_sentences(typed: int) -> None:
    """A language model writes the stop in one piece and the space that follows it in the next."""
    sentence = [" A", " good", " sentence", "."]
    one = InputText.from_standard_input()
    pieces, first = one.pieces(1000, 0, 110), ""
    with anyio.fail_after(5):
        for word in sentence * 7:
            os.write(typed, word.encode())
            if len(first) < 80:
                first += await anext(pieces)
        first += "".join([piece async for piece in pieces])
    assert first == " A good sentence." * 6 + " "


async def test_the_speaker_at_a_place_is_the_one_of_the_last_tag() -> None:
    one = InputText.of(b"Once. [S1] Hello. [S2] Hi. [laughs] [s1] Bye.")
    assert [one.speaker_at(place) for place in (0, 6, 10, 30, 45)] == ["", "", "[S1]", "[S2]", "[s1]"]


async def test_another_program_may_have_made_the_input_non_blocking(typed: int) -> None:
    os.set_blocking(sys.stdin.fileno(), False)
    pieces = InputText.from_standard_input().pieces(100, 0, ENOUGH)
    os.write(typed, b"Hello.")
    os.close(typed)
    with anyio.fail_after(5):
        assert [piece async for piece in pieces] == ["Hello."]
