"""`<say-as interpret-as="…">`: how to read a text that names its own kind."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.reading import letters
from streaming_server.text.english.readings import read_all

_INTEGER = re.compile(r"\s*([\d,]+)(?:st|nd|rd|th)?\s*")
_NUMBER = re.compile(r"\s*(-?[\d,]*\d(?:\.\d+)?)\s*")


def spelled(text: str) -> str:
    """Character by character, words apart by a comma."""
    return ", ".join(letters(word.upper()) for word in text.split())


def say_as(kind: str, text: str, *, english: bool) -> str | None:
    """Return the spoken text, or None to speak the text unchanged."""
    match kind.lower():
        case "characters" | "spell-out" | "spell" | "verbatim" | "letters":
            return _spelled_in_english(text) if english else spelled(text)
        case "digits" | "digit" | "number_digit" if not english:
            return " ".join(character for character in text if character.isalnum())
        case "expletive" | "bleep":
            return ""
        case "digits" | "digit" | "number_digit":
            return numbers.digits(text)
        case "cardinal" | "number" if english and (match := _NUMBER.fullmatch(text)):
            return numbers.number(match[1])
        case "ordinal" if english and (match := _INTEGER.fullmatch(text)):
            return numbers.ordinal(int(match[1].replace(",", "")[: numbers.MOST_DIGITS] or "0"))
        case "telephone" | "phone" if english:
            groups = (numbers.digits(group) for group in re.split(r"\D+", text))
            return ", ".join(group for group in groups if group)
        case "date" | "time" | "currency" | "unit" | "fraction" | "address" if english:
            return read_all(text)
        case _:
            return None


def _spelled_in_english(text: str) -> str:
    return "".join(numbers.ONES[int(c)] if c in "0123456789" else c for c in spelled(text))
