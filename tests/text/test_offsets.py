"""Offsets of spoken text map back to the client's text."""

from __future__ import annotations

from streaming_server.text.items import Said
from streaming_server.text.offsets import SourceMap

PARTS = [Said("Pay ", 2, 6), Said("three dollars", 8, 10, False, True), Said(" now", 12, 16)]


def source() -> SourceMap:
    source = SourceMap()
    for part in PARTS:
        source.append(part)
    return source


def test_literal_text_maps_by_character() -> None:
    assert source().span(0, 3) == (2, 5)
    assert source().span(18, 21) == (13, 16)


def test_each_word_of_a_replacement_maps_to_all_of_it() -> None:
    assert source().span(4, 9) == source().span(10, 17) == (8, 10)


def test_a_span_over_several_parts() -> None:
    assert source().span(1, 20) == (3, 15)


def test_slices() -> None:
    assert list(source().slice(0, 21)) == PARTS
    assert list(source().slice(2, 6)) == [Said("y ", 4, 6), Said("th", 8, 10, False, True)]
    assert list(source().slice(3, 3)) == []


def test_offsets_continue_after_the_beginning_is_discarded() -> None:
    shorter = source()
    shorter.forget(10)
    assert shorter.span(10, 17) == (8, 10)
    assert shorter.end == 21
    shorter.forget(21)
    shorter.append(Said("!", 20, 21))
    assert shorter.span(21, 22) == (20, 21)
