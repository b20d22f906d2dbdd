"""Numbers are written out as num2words does, without its commas."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from num2words import num2words

from streaming_server.text.english import numbers

ANY = st.one_of(st.integers(0, 2100), st.integers(0, 10**numbers.MOST_DIGITS - 1))


@given(ANY)
@example(1_000_001)
@example(1_000_000)
def test_cardinals(number: int) -> None:
    assert numbers.cardinal(number) == num2words(number).replace(",", "")


@given(ANY)
@example(12)
@example(1_000_000)
def test_ordinals(number: int) -> None:
    assert numbers.ordinal(number) == num2words(number, to="ordinal").replace(",", "")


@given(st.integers(1000, 2199))
def test_years(year: int) -> None:
    assert numbers.year(year) == num2words(year, to="year").replace("oh-", "oh ").replace(",", "")


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("1,234", "one thousand two hundred and thirty-four"),
        ("3.14", "three point one four"),
        ("0.50", "zero point five zero"),
        ("-5", "minus five"),
        ("007", "zero zero seven"),
        ("9" * 19, " ".join(["nine"] * 19)),
    ],
)
def test_numbers_as_written(written: str, spoken: str) -> None:
    assert numbers.number(written) == spoken
