"""Dates and times of day."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.abbreviations import alternatives
from streaming_server.text.english.names import MONTH_OF, MONTHS, WEEKDAY_OF
from streaming_server.text.english.reading import Reading, ends_sentence, rest_of

MONTH = alternatives(MONTH_OF)
_YEAR = r"(?:1[0-9]|20)\d\d"
_HOUR = r"(\d{1,2})(?::(\d\d))?"
_HALF_DAY = r"\s?([AaPp])\.?[Mm](?!\w)(\.?)"


def _date(year: str, month: int, day: int) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    said = f"{MONTHS[month - 1]} {numbers.ordinal(day)}"
    return f"{said}, {numbers.year(int(year))}" if year else said


def _iso(match: re.Match[str]) -> str | None:
    return _date(match[1], int(match[2]), int(match[3]))


def _slashes(match: re.Match[str]) -> str | None:
    """Month first, as in the United States, unless that cannot be."""
    month, day, year = int(match[1]), int(match[2]), match[3]
    if len(year) == 2:
        year = ("19" if year > "50" else "20") + year
    if month > 12:
        month, day = day, month
    return _date(year, month, day)


def _points(match: re.Match[str]) -> str | None:
    return _date(match[3], int(match[2]), int(match[1]))


def _month_day(match: re.Match[str]) -> str | None:
    day = int(match[2])
    if not 1 <= day <= 31:
        return None
    said = f"{MONTH_OF[match[1]]} {numbers.ordinal(day)}"
    if match[3]:
        said += f" to {numbers.ordinal(int(match[3]))}"
    return f"{said}, {numbers.year(int(match[4]))}" if match[4] else said


def _month_year(match: re.Match[str]) -> str:
    return f"{MONTH_OF[match[1]]} {numbers.year(int(match[2]))}"


def _day_month(match: re.Match[str]) -> str | None:
    day = int(match[1])
    if not 1 <= day <= 31:
        return None
    said = f"{numbers.ordinal(day)} of {MONTH_OF[match[2]]}"
    return f"{said} {numbers.year(int(match[3]))}" if match[3] else said


def _month(match: re.Match[str]) -> str:
    return MONTH_OF[match[1]] + ("." if ends_sentence(rest_of(match)) else "")


def _weekday(match: re.Match[str]) -> str:
    return WEEKDAY_OF[match[1]]


def _decade(match: re.Match[str]) -> str | None:
    """ "1990s", "mid-1990s", "'80s", "2000s"."""
    prefix, century, decade = match[1] or "", match[2], int(match[3])
    if not century and decade < 2:
        return None
    if century == "20" and not decade:
        return f"{prefix}two thousands"
    plural = {0: "hundreds", 1: "tens"}.get(decade) or f"{numbers.TENS[decade][:-1]}ies"
    return prefix + (f"{numbers.cardinal(int(century))} {plural}" if century else plural)


def _short_year(match: re.Match[str]) -> str:
    return ("oh " if match[1][0] == "0" else "") + numbers.cardinal(int(match[1]))


def _time(match: re.Match[str]) -> str | None:
    return clock(match[1], match[2], match[3])


def _half_day(match: re.Match[str]) -> str | None:
    said = clock(match[1], match[2], None, half_day=True)
    if said is None:
        return None
    stop = "." if match[4] and ends_sentence(rest_of(match)) else ""
    return f"{said} {match[3].upper()}M{stop}"


def _half_day_range(match: re.Match[str]) -> str | None:
    first, last = (
        clock(match[1], match[2], None, half_day=True),
        clock(match[4], match[5], None, half_day=True),
    )
    if first is None or last is None:
        return None
    if match[3]:
        first += f" {match[3].upper()}M"
    stop = "." if match[7] and ends_sentence(rest_of(match)) else ""
    return f"{first} to {last} {match[6].upper()}M{stop}"


def clock(hour: str, minute: str | None, second: str | None, *, half_day: bool = False) -> str | None:
    """A time of day; None for what is none."""
    hours, minutes = int(hour), int(minute or 0)
    if hours > 24 or minutes > 59 or int(second or 0) > 59:
        return None
    said = numbers.cardinal(hours)
    if second:
        return f"{said} {numbers.cardinal(minutes)} and {numbers.cardinal(int(second))} seconds"
    if minutes:
        return f"{said} {'oh ' if minutes < 10 else ''}{numbers.cardinal(minutes)}"
    if half_day:
        return said
    return f"{said} hundred" if hours > 12 else f"{said} o'clock" if hours else "midnight"


READINGS = (
    Reading("9", rf"({_YEAR})-(\d\d)-(\d\d)(?![\w-])", _iso),
    Reading("9", r"(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)(?![\w/])", _slashes),
    Reading("9", rf"(\d{{1,2}})\.(\d{{1,2}})\.({_YEAR})(?!\w)", _points),
    Reading("9", rf"{_HOUR}(?:\s?([AaPp])\.?[Mm]\.?)?\s?[-–]\s?{_HOUR}{_HALF_DAY}", _half_day_range),
    Reading("9", rf"(\d{{1,2}})(?::(\d\d))?{_HALF_DAY}", _half_day),
    Reading("9", r"(\d{1,2}):(\d\d)(?::(\d\d))?(?![\w:])", _time),
    Reading(
        "A",
        rf"({MONTH})\.?\s(\d{{1,2}})(?:st|nd|rd|th)?(?:[-–](\d{{1,2}}))?(?![\w:%/])(?!\.\d)(?:,?\s({_YEAR})(?!\w))?",
        _month_day,
    ),
    Reading("A", rf"({MONTH})\.?\s({_YEAR})(?!\w)", _month_year),
    Reading(
        "9",
        rf"(\d{{1,2}})(?:st|nd|rd|th)?(?:\sof)?\s({MONTH})(?!\w)(?:\.(?=\s\d|[,;]))?(?:,?\s({_YEAR})(?!\w))?",
        _day_month,
    ),
    Reading("A", rf"({alternatives(WEEKDAY_OF)})\.(?=,?\s(?:{MONTH}|\d)|,)", _weekday),
    Reading("A", rf"({alternatives(month for month in MONTH_OF if len(month) <= 4)})\.(?!\w)", _month),
    Reading("9A+", r"([A-Za-z]+-)?['’]?(1[1-9]|20)?(\d)0['’]?s(?!\w)", _decade),
    Reading("+", r"['’](\d\d)(?=\s+[A-Za-z])", _short_year),
)
