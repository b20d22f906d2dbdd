"""Readings of figures, symbols and abbreviations."""

from __future__ import annotations

import pytest
from helpers.spoken_text import said


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("$3.50", "three dollars and fifty cents"),
        ("$1, $0.99, $1,000.00", "one dollar, ninety-nine cents, one thousand dollars"),
        (
            "$1.5 million, $2bn, €5k",
            "one point five million dollars, two billion dollars, five thousand euros",
        ),
        ("-$5, £2.01, US$3", "minus five dollars, two pounds and one penny, US three dollars"),
        ("$5-10 and $5-$10", "five to ten dollars and five to ten dollars"),
        ("$10/month", "ten dollars per month"),
        (
            "5 €, 3.50 EUR, USD 20, 99¢",
            "five euros, three euros and fifty cents, twenty dollars, ninety-nine cents",
        ),
    ],
)
def test_money(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("March 5, 2024", "March fifth, twenty twenty-four"),
        ("Mar. 5th", "March fifth"),
        ("5 March 2024", "fifth of March twenty twenty-four"),
        ("the 5th of May", "the fifth of May"),
        ("July 2024", "July twenty twenty-four"),
        ("2024-03-15", "March fifteenth, twenty twenty-four"),
        (
            "3/15/2024 and 12/25/99",
            "March fifteenth, twenty twenty-four and December twenty-fifth, nineteen ninety-nine",
        ),
        ("the 1990s, the '80s, the 1800s", "the nineteen nineties, the eighties, the eighteen hundreds"),
        (
            "in 1984, 2005 and 2010-2024",
            "in nineteen eighty-four, two thousand and five and twenty ten to twenty twenty-four",
        ),
        ("May I go?", "May I go?"),
        ("on Mon., Jan. 15th, in Feb. or", "on Monday, January fifteenth, in February or"),
        ("mid-1990s, a '67 Mustang", "mid-nineteen nineties, a sixty-seven Mustang"),
    ],
)
def test_dates(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("3:30 p.m. today", "three thirty PM today"),
        ("at 5 p.m. However, no", "at five PM. However, no"),
        ("at 5pm.", "at five PM."),
        ("at 5 p.m. Monday", "at five PM Monday"),
        ("3:05", "three oh five"),
        ("9:00, 15:00, 0:00", "nine o'clock, fifteen hundred, midnight"),
        ("9am-5pm", "nine AM to five PM"),
        ("12:30:45", "twelve thirty and forty-five seconds"),
    ],
)
def test_times(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("555-1234", "five five five, one two three four"),
        ("(555) 123-4567", "five five five, one two three, four five six seven"),
        ("1-800-555-1234", "one, eight hundred, five five five, one two three four"),
        ("978-3-16", "nine seven eight, three, one six"),
        ("+49 30 123456", "plus four nine, three zero, one two three four five six"),
    ],
)
def test_telephone_numbers(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("1/2 cup, 3/4, 2 1/2, 3½", "one half cup, three quarters, two and a half, three and a half"),
        ("8/10, 24/7", "eight out of ten, twenty-four seven"),
        ("5 km, 1 km, 100 km/h", "five kilometers, one kilometer, one hundred kilometers per hour"),
        (
            "5-10 kg, 20°C, 5%, 5 m²",
            "five to ten kilograms, twenty degrees Celsius, five percent, five square meters",
        ),
        ("6 ft. tall, 5'10\"", "six feet tall, five foot ten"),
        ("It is 5 km. Next", "It is five kilometers. Next"),
        ("5 apples, 10 minutes", "five apples, ten minutes"),
    ],
)
def test_measures(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        (
            "v1.2.3, version 2.0, Python 3.11",
            "version one point two point three, version two point zero, Python three point eleven",
        ),
        ("1st, 22nd, #1, -5, ~5", "first, twenty-second, number one, minus five, about five"),
        ("1,234,567", "one million two hundred and thirty-four thousand five hundred and sixty-seven"),
        ("10-20", "ten to twenty"),
        ("2+2=4, 2*3*4, 5 * 3", "two plus two equals four, two times three times four, five times three"),
        ("GPT-4, COVID-19, MP3, 5G", "GPT four, COVID nineteen, MP three, five G"),
        ("sha 9f86d081884c7d659a", "sha 9f86d081884c7d659a"),
        ("a 3-year-old", "a three-year-old"),
        ("16:9, 8080:80", "sixteen to nine, eight thousand and eighty colon eighty"),
        ("10.0.0.1:80", "ten dot zero dot zero dot one colon eighty"),
        ("3.0e8, x^2", "three point zero times ten to the power of eight, x squared"),
        ("100,000+ users, v2.1+", "one hundred thousand plus users, version two point one plus"),
        ("~2GB, <$5, ≥3", "about two gigabytes, less than five dollars, at least three"),
    ],
)
def test_other_figures(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("https://www.example.com/docs/?q=1.", "example dot com slash docs."),
        ("me.too@example.com,", "me dot too at example dot com,"),
        ("README.md and Node.js", "README dot MD and Node dot JS"),
        ("No space.Then more.", "No space.Then more."),
    ],
)
def test_addresses(written: str, spoken: str) -> None:
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Dr. Smith and Mr. and Mrs. Jones", "Doctor Smith and Mr. and Missus Jones"),
        ("Main St. Then St. John", "Main Street. Then Saint John"),
        ("The U.S. Army met. He left the U.S. The end.", "The US Army met. He left the US. The end."),
        ("fruit, e.g. apples, i.e. food, etc.", "fruit, for example apples, that is food, et cetera."),
        (
            "Acme Inc. grew. I like Acme Inc. They grew.",
            "Acme Incorporated grew. I like Acme Incorporated. They grew.",
        ),
        ("No. 5 and Fig. 3. No. Never.", "Number five and Figure three. No. Never."),
        ("J. R. R. Tolkien", "J R R Tolkien"),
        (
            "World War II, Chapter IV, Henry VIII. Chapter I can",
            "World War two, Chapter four, Henry the eighth. Chapter one can",
        ),
        ("AT&T, a.k.a. Bell, Q.E.D.", "A-T and T, also known as Bell, Q E D."),
        ("180 lbs., Apt. 4", "one hundred and eighty pounds, Apartment four"),
        ("R&D & co w/ it", "R and D and co with it"),
    ],
)
def test_abbreviations(written: str, spoken: str) -> None:
    assert said(written) == spoken
