"""Pages of the cache: reservations, growth beyond them, and the entries of the table."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("torch")

from streaming_server.engines.dia.model.config import DiaConfig
from streaming_server.engines.dia.model.paged_cache import PageLayout
from streaming_server.engines.dia.serving.page_table import PageTable
from streaming_server.engines.dia.serving.pages import PageBook

LAYOUT = PageLayout.of(DiaConfig(), 3072, 1024)


def test_layout_of_the_published_model():
    assert (LAYOUT.frames, LAYOUT.text, LAYOUT.frame_pages, LAYOUT.text_pages) == (64, 32, 48, 32)
    assert LAYOUT.pages(430, 150) == 7 + 5
    assert LAYOUT.pages(64, 32) == 2
    assert LAYOUT.pages(65, 0) == 2


def test_a_stream_gets_what_it_reserved():
    book = PageBook(20, longest=8)
    assert book.reserve(0, 6)
    assert book.reserve(1, 6)
    assert not book.reserve(2, 1), "eight are kept back"
    assert book.take(0, 6) == [1, 2, 3, 4, 5, 6]
    assert book.take(1, 6) == [7, 8, 9, 10, 11, 12]
    book.release(0)
    assert book.reserve(2, 6)
    assert book.free == 14


def test_a_lone_stream_may_reserve_everything():
    book = PageBook(8, longest=8)
    assert book.reserve(3, 8)
    assert not book.reserve(4, 1)
    assert book.take(3, 8) is not None
    book.release(3)
    book.release(3)
    assert book.free == 8


def test_only_one_stream_grows_into_what_is_kept_back():
    book = PageBook(14, longest=8)
    for slot in range(3):
        assert book.reserve(slot, 2)
        assert book.take(slot, 2)
    assert book.take(0, 1) is not None
    assert book.take(1, 1) is None
    assert book.take(0, 5) is not None, "to its greatest length"
    book.release(0)
    assert book.take(1, 1) is not None
    assert book.take(2, 1) is not None, "eight are free without it"
    assert book.take(1, 5) is not None
    assert book.take(2, 1) is None


def test_a_book_holds_one_stream_at_least():
    with pytest.raises(ValueError, match="7 pages are too few"):
        PageBook(7, longest=8)


@pytest.mark.parametrize("seed", range(20))
def test_every_stream_ends_whatever_was_expected(seed):
    """Streams of random lengths reserve random parts of them; those that cannot grow wait."""
    dice = random.Random(seed)
    longest = 10
    book = PageBook(dice.randint(longest, 40), longest)
    waiting = [(dice.randint(1, longest), dice.random()) for _ in range(60)]
    running, owners, rounds = {}, {}, 0
    while waiting or running:
        rounds += 1
        assert rounds < 10_000, "no stream advances"
        if waiting and len(running) < 12:
            length, share = waiting[0]
            slot = next(slot for slot in range(12) if slot not in running)
            if book.reserve(slot, max(1, round(length * share))):
                waiting.pop(0)
                running[slot] = [length, max(1, round(length * share)), 0]
        for slot, stream in list(running.items()):
            length, reserved, held = stream
            if held == length:
                book.release(slot)
                owners = {page: owner for page, owner in owners.items() if owner != slot}
                del running[slot]
                continue
            taken = book.take(slot, 1)
            assert taken is not None or held >= reserved, "a reserved page is never waited for"
            if taken is not None:
                assert taken[0] not in owners
                owners[taken[0]] = slot
                stream[2] += 1


def test_table_enters_text_and_frames():
    table = PageTable(LAYOUT, 200)
    assert table.admit(2, text=40, frames=300)
    assert table.grow(2, 65)
    base = 2 * LAYOUT.slot_pages
    assert table.pending == {base + 48: 1, base + 49: 2, base: 3, base + 1: 4}
    assert table.grow(2, 128)
    assert len(table.pending) == 4
    assert table.grow(2, 10_000)
    assert table.free == 200 - 48 - 2
    table.release(2)
    assert table.free == 200


def test_a_place_taken_again_before_its_upload_is_uploaded_once():
    """A stream is cancelled just after it grew, and another begins in its slot with as many frames."""
    table = PageTable(LAYOUT, 200)
    assert table.admit(0, text=1, frames=64)
    table.pending.clear()
    assert table.grow(0, 64)
    assert table.pending == {0: 2}
    table.release(0)
    assert table.admit(1, text=1, frames=64)
    assert table.admit(0, text=1, frames=64)
    assert table.grow(0, 64)
    text = LAYOUT.frame_pages
    assert table.pending == {LAYOUT.slot_pages + text: 1, text: 2, 0: 3}
