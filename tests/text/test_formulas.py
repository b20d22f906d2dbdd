"""LaTeX formulas are read as a person reads them."""

from __future__ import annotations

import pytest
from helpers.spoken_text import items_of, said

from streaming_server.text.items import Said
from streaming_server.text.spoken import SpokenText
from streaming_server.text.style import SpeakingStyle


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Is $E = mc^2$?", "Is E equals mc squared?"),
        (
            r"$$\int_0^1 x^2 dx = \frac{1}{3}$$",
            "the integral from zero to one of x squared dx equals one over three",
        ),
        (r"\(a_1 \times b \leq \infty\)", "a sub one times b is at most infinity"),
        (
            r"\[ x = \frac{-b \pm \sqrt{b^2-4ac}}{2a} \]",
            "x equals minus b plus or minus the square root of b squared minus four ac over two a",
        ),
        (r"$\theta \approx 30^\circ$", "theta is about thirty degrees"),
        (r"$\text{speed} = x^{10}$", "speed equals x to the power of ten"),
        ("$2x + 3 = 7$", "two x plus three equals seven"),
        ("$x^{} = y_{}$", "x equals y"),
        ("$x = 0.5$.", "x equals zero point five."),
        ("$$\nx = 0.5.\n$$", "x equals zero point five."),
        ("$$n! = 2$$", "n factorial equals two"),
    ],
)
def test_formulas(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("It costs $5 and $10 more.", "It costs five dollars and ten dollars more."),
        ("$5-$10", "five to ten dollars"),
        ("$AAPL fell and $ rose", "$AAPL fell and $ rose"),
        ('{"$ref": "#/$defs"}', '{"$ref": "#/$defs"}'),
    ],
)
def test_money_is_no_formula(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize("opening", ["$AAPL", "$$", "\\(", "\\[", "$x"])
@pytest.mark.parametrize("end", [". Now ", "?\nNow ", "\n\nNow "])
def test_a_formula_that_never_closes_holds_back_its_sentence_only(opening: str, end: str) -> None:
    spoken = SpokenText(SpeakingStyle())
    heard = "".join(item.text for item in spoken.push(f"{opening} is up{end}") if isinstance(item, Said))
    assert "is up" in heard


def test_price_levels_are_no_formula() -> None:
    assert said("A $$ bar or a $$$ one") == "A $$ bar or a $$$ one"


def test_other_languages_keep_formulas() -> None:
    assert said("Es gilt $x$.", language="de") == "Es gilt $x$."


def test_a_formula_maps_to_its_source() -> None:
    assert Said("x equals y", 1, 4, literal=False, settled=True) in items_of(["$x=y$"])
