"""`<say-as interpret-as="…">`: how to read a text that names its own kind."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.calendar import date
from streaming_server.text.english.names import MONTHS
from streaming_server.text.english.rule import letters
from streaming_server.text.english.rules import read_all

_INTEGER = re.compile(r"\s*([\d,]+)(?:st|nd|rd|th)?\s*")
_TEN_DIGITS = re.compile(r"(\d{3})(\d{3})(\d{4})")
_MINUTES = re.compile(r"(\d+)['′](?:(\d+)[\"″])?")
_NUMBER = re.compile(r"\s*(-?[\d,]*\d(?:\.\d+)?)\s*")


def spelled(text: str) -> str:
    """Character by character, words apart by a comma."""
    return ", ".join(letters(word.upper()) for word in text.split())


def say_as(kind: str, text: str, form: str, *, english: bool) -> str | None:
    """Return the spoken text, or None to speak the text unchanged. form: the order of a date, as "dmy"."""
    match kind.lower().removeprefix("vxml:"):
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
            return numbers.written_ordinal(match[1].replace(",", "") or "0")
        case "telephone" | "phone" if english:
            groups = (numbers.digits(group) for group in re.split(r"\D+", _TEN_DIGITS.sub(r"\1 \2 \3", text)))
            return ("plus " if text.lstrip().startswith("+") else "") + ", ".join(filter(None, groups))
        case "date" if english and (said := _date(text, form.lower())):
            return said
        case "time" | "duration" if english and (match := _MINUTES.fullmatch(text.strip())):
            return read_all(f"{match[1]} min" + (f" {match[2]} s" if match[2] else ""))
        case "fraction" if english:
            return read_all(text.replace("+", " "))
        case "date" | "time" | "currency" | "unit" | "address" if english:
            return read_all(text)
        case _:
            return None


def _spelled_in_english(text: str) -> str:
    return "".join(numbers.ONES[int(c)] if c in "0123456789" else c for c in spelled(text))


def _date(text: str, form: str) -> str | None:
    """A date whose parts stand in the order of `form`: "mdy", "dm", "yyyymmdd"."""
    order = "".join(dict.fromkeys(form))
    if re.fullmatch(r"\d{8}", text) and order == "ymd":
        text = f"{text[:4]} {text[4:6]} {text[6:]}"
    parts = dict(zip(order, re.findall(r"\d+", text), strict=False))
    if set(order) - set("ymd") or len(parts) != len(order) or "m" not in parts:
        return None
    if "d" in parts:
        return date(parts.get("y", ""), int(parts["m"]), int(parts["d"]))
    month = int(parts["m"])
    if not 1 <= month <= 12 or "y" not in parts:
        return None
    return f"{MONTHS[month - 1]} {numbers.year(int(parts['y']))}"
