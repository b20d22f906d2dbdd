"""Numbers as English words.

Written here and not taken from num2words, which needs 6 to 70 µs a number; the tests compare the two.
"""

from __future__ import annotations

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = ["", " thousand", " million", " billion", " trillion", " quadrillion"]
MOST_DIGITS = 3 * len(SCALES)
"""Longer numbers are read digit by digit."""

_GROUPING = str.maketrans("", "", ", '\u00a0\u202f")

_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int) -> str:
    """1234 → "one thousand two hundred and thirty-four". Not negative."""
    if number < 1000:
        return _below_thousand(number)
    if number >= 10**MOST_DIGITS:
        return digits(str(number))
    groups: list[str] = []
    for scale in SCALES:
        number, group = divmod(number, 1000)
        if group:
            groups.append(_below_thousand(group) + scale)
            if not scale and group < 100:
                groups[-1] = "and " + groups[-1]
        if not number:
            break
    return " ".join(reversed(groups))


def ordinal(number: int) -> str:
    """23 → "twenty-third". Not negative."""
    return _as_ordinal(cardinal(number))


def written_ordinal(figures: str) -> str:
    """Digits as an ordinal: "23" → "twenty-third"."""
    return _as_ordinal(cardinal(int(figures)) if len(figures) <= MOST_DIGITS else digits(figures))


def _as_ordinal(words: str) -> str:
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    head, last = words[:cut], words[cut:]
    if last in _ORDINALS:
        return head + _ORDINALS[last]
    return head + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def year(number: int) -> str:
    """1984 → "nineteen eighty-four", 2005 → "two thousand and five"."""
    century, rest = divmod(number, 100)
    if not 10 <= century <= 99 or (century % 10 == 0 and rest < 10):
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def digits(text: str) -> str:
    """ "007" → "zero zero seven". Other characters are left out."""
    return " ".join(ONES[int(digit)] for digit in text if digit in "0123456789")


def number(text: str) -> str:
    """A number as written: "1,234", "3.14", "-5", "007"."""
    if text[:1] in ("-", "−"):
        return "minus " + number(text[1:])
    whole, point, fraction = plain(text).partition(".")
    if len(whole) > 1 and whole[0] == "0":
        words = digits(whole)
    else:
        words = cardinal(int(whole or "0")) if len(whole) <= MOST_DIGITS else digits(whole)
    if point and fraction:
        return f"{words} point {digits(fraction)}" if whole else f"point {digits(fraction)}"
    return words


def plain(text: str) -> str:
    """A number without the marks and spaces between its groups: "1 000,000" → "1000000"."""
    return text.translate(_GROUPING)


def spelled(text: str) -> str:
    """Letters and digits one by one: "7f" → "seven F"."""
    return " ".join(
        ONES[int(character)] if character.isdecimal() else character.upper() for character in text
    )


def count_or_year(text: str) -> str:
    """A number that may be a year: four digits from 1100 to 2099, without a separator; 911 is a call."""
    if text == "911":
        return digits(text)
    if len(text) == 4 and text.isdigit() and "1100" <= text <= "2099":
        return year(int(text))
    return number(text)


def is_one(text: str) -> bool:
    """Return whether a number as written takes the singular."""
    return text in ("1", "-1", "−1")


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if rest < 20:
        words = ONES[rest]
    else:
        tens, one = divmod(rest, 10)
        words = f"{TENS[tens]}-{ONES[one]}" if one else TENS[tens]
    if not hundreds:
        return words
    return f"{ONES[hundreds]} hundred and {words}" if rest else f"{ONES[hundreds]} hundred"
