"""The text that `say` speaks, as it arrives at standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from streaming_server.cli.input_text import MOST_UNSENT, READ_BYTES, InputText
from streaming_server.errors import SpeechError

pytestmark = pytest.mark.anyio


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Replace standard input by a pipe, and return the descriptor to write to. The test closes it."""
    reading, writing = os.pipe()
    with open(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield writing


async def test_pieces_arrive_before_the_input_ends(typed: int) -> None:
    text = InputText.from_standard_input()
    pieces = text.pieces(100)
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
        assert "".join([piece async for piece in text.pieces(100)]) == "abcdefgh"
        assert [piece async for piece in text.pieces(3)] == ["abc", "def", "gh"]


async def test_a_character_may_arrive_in_two_parts(typed: int) -> None:
    text = InputText.from_standard_input()
    pieces = text.pieces(100)
    with anyio.fail_after(5):
        os.write(typed, b"caf\xc3")
        assert await anext(pieces) == "caf"
        os.write(typed, b"\xa9\xff")
        os.close(typed)
        assert [piece async for piece in pieces] == ["é\N{REPLACEMENT CHARACTER}"]


async def test_a_text_of_an_argument_is_complete() -> None:
    text = InputText.of(b"Hello \xff")
    assert text.characters == 7
    assert [piece async for piece in text.pieces(100)] == ["Hello \N{REPLACEMENT CHARACTER}"]


async def test_no_more_is_read_ahead_than_can_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "long"
    file.write_bytes(b"x" * 3 * MOST_UNSENT)
    with file.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        text = InputText.from_standard_input()
        pieces = text.pieces(READ_BYTES)
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
        await anext(InputText.from_standard_input().pieces(100))
