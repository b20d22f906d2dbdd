"""Dates and times of day."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.names import BOOKS, MONTH_OF, MONTHS, WEEKDAY_OF
from streaming_server.text.english.rule import Rule, alternatives, before, rest_of, stop_ends_sentence

MONTH = alternatives(MONTH_OF)
_YEAR = r"(?:1[0-9]|20)\d\d"
_HOUR = r"(\d{1,2})(?:[:.](\d\d))?"
_YEARS_BEFORE = re.compile(r"\b(?:[Tt]he|[Ll]ate|[Ee]arly|[Mm]id|his|her|their|my|our|your)[\s-]\Z")
_SECONDS_BEFORE = re.compile(
    r"\b(?:an?|for|in|after|every|wait|takes?|took|within|about|under|over|than|of|to|last|next|first|past|final"
    r"|another|only|just|exactly|nearly|almost|is|was|be|least)\s\Z"
)
_RATIO_BEFORE = re.compile(
    r"\b(?:[Rr]atios?|[Ss]cales?|[Oo]dds|[Mm]ix(?:ed|ture)?|dilut\w+|proportions?|gear)(?:\s(?:of|is|was|at|are|in|a))*:?\s\Z"
)
_RATIO_AFTER = re.compile(r"[ -](?:ratio|scale|odds|mix|dilution|aspect|split|model|proportion)")
_DAY_BEFORE = re.compile(
    r"\b(?:on|due|dated|until|since|[MTWFS][a-z]{2,5}day|Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\s\Z"
)
_NOUN_AFTER = re.compile(r"-|\s(?!(?:at|to|and|from|for|by|or|is|was|the|in|we|i|he|she|they|with)\b)[a-z]")
_HOLIDAYS = frozenset({"12/24", "12/25", "12/31", "10/31"})
_HALF_DAY = r"\s?([AaPp])\.?[Mm](?!\w)(\.?)"


def date(year: str, month: int, day: int) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    said = f"{MONTHS[month - 1]} {numbers.ordinal(day)}"
    return f"{said}, {numbers.year(int(year))}" if year else said


def _iso(match: re.Match[str]) -> str | None:
    said = date(match[1], int(match[3]), int(match[4]))
    if said is None or match[5] is None:
        return said
    time = clock(match[5], match[6], None)
    return f"{said}, {time}{' UTC' if match[7] == 'Z' else ''}" if time else None


def _slashes(match: re.Match[str]) -> str | None:
    """Month first, as in the United States, unless that cannot be."""
    month, day, year = int(match[1]), int(match[2]), match[3]
    if len(year) == 2:
        year = ("19" if year > "50" else "20") + year
    if month > 12:
        month, day = day, month
    return date(year, month, day)


def _points(match: re.Match[str]) -> str | None:
    return date(match[3], int(match[2]), int(match[1]))


def _month_day(match: re.Match[str]) -> str | None:
    day = int(match[2])
    if not 1 <= day <= 31:
        return None
    said = f"{MONTH_OF[match[1]]} {numbers.ordinal(day)}"
    if match[3]:
        said += f" to {numbers.ordinal(int(match[3]))}"
    return f"{said}, {numbers.year(int(match[4]))}" if match[4] else said


def _span(match: re.Match[str]) -> str:
    names = MONTH_OF | WEEKDAY_OF
    return f"{names[match[1]]} to {names[match[2]]}"


def _season(match: re.Match[str]) -> str:
    """ "2023/24"."""
    return f"{numbers.year(int(match[1]))}, {_short_year_words(match[2])}"


def _month_year(match: re.Match[str]) -> str:
    return f"{MONTH_OF[match[1]]} {numbers.year(int(match[2]))}"


def _day_month(match: re.Match[str]) -> str | None:
    day = int(match[1])
    if not 1 <= day <= 31:
        return None
    said = f"{numbers.ordinal(day)} of {MONTH_OF[match[2]]}"
    return f"{said} {numbers.year(int(match[3]))}" if match[3] else said


def _month(match: re.Match[str]) -> str:
    return MONTH_OF[match[1]] + ("." if stop_ends_sentence(rest_of(match)) else "")


def _weekday(match: re.Match[str]) -> str:
    return WEEKDAY_OF[match[1]]


def _decade(match: re.Match[str]) -> str | None:
    """ "1990s", "mid-1990s", "'80s", "2000s"."""
    prefix, century, decade = match[1] or "", match[2], int(match[3])
    if not century and (decade < 2 or not (prefix or "'" in match[0] or _is_decade(decade, before(match)))):
        return None
    if century == "20" and not decade:
        return f"{prefix}two thousands"
    plural = {0: "hundreds", 1: "tens"}.get(decade) or f"{numbers.TENS[decade][:-1]}ies"
    return prefix + (f"{numbers.cardinal(int(century))} {plural}" if century else plural)


def _is_decade(decade: int, words: str) -> bool:
    """Return whether "90s" are years after these words, and not seconds."""
    if _YEARS_BEFORE.search(words):
        return True
    return decade in (5, 7, 8, 9) and not _SECONDS_BEFORE.search(words)


def _short_year(match: re.Match[str]) -> str:
    return _short_year_words(match[1])


def _short_year_words(text: str) -> str:
    return ("oh " if text[0] == "0" else "") + numbers.cardinal(int(text))


def _zone(match: re.Match[str]) -> str:
    said = f"{match[1]} {'plus' if match[2] == '+' else 'minus'} {numbers.cardinal(int(match[3]))}"
    return f"{said} {numbers.cardinal(int(match[4]))}" if match[4] else said


def _time_range(match: re.Match[str]) -> str | None:
    first, last = clock(match[1], match[2], None), clock(match[3], match[4], None)
    return f"{first} to {last}" if first and last else None


def _time(match: re.Match[str]) -> str | None:
    """ "10:30", but not "a 1:10 ratio"."""
    if not match[3] and (_RATIO_BEFORE.search(before(match)) or _RATIO_AFTER.match(rest_of(match))):
        return None
    said = clock(match[1], match[2], match[3])
    return f"{said} UTC" if said and match[4] else said


def _verse(match: re.Match[str]) -> str:
    """ "John 3:16"."""
    said = f"{match[1]} {numbers.number(match[2])} {numbers.number(match[3])}"
    return f"{said} to {numbers.number(match[4])}" if match[4] else said


def _verses(match: re.Match[str]) -> str:
    """ "13:4-7"."""
    return f"{numbers.number(match[1])} {numbers.number(match[2])} to {numbers.number(match[3])}"


def _pace(match: re.Match[str]) -> str | None:
    """ "5:30/km"."""
    said = clock(match[1], match[2], None)
    return f"{said} per {'kilometer' if match[3] == 'km' else 'mile'}" if said else None


def _day_month_figures(match: re.Match[str]) -> str | None:
    """ "on 3/15" and "Mon 3/4", month first unless that cannot be; not "on 1/2 of them"."""
    if match[0] not in _HOLIDAYS and (
        not _DAY_BEFORE.search(before(match)) or _NOUN_AFTER.match(rest_of(match))
    ):
        return None
    month, day = int(match[1]), int(match[2])
    return date("", day, month) if month > 12 else date("", month, day)


def _half_day(match: re.Match[str]) -> str | None:
    said = clock(match[1], match[2], None, half_day=True)
    if said is None:
        return None
    stop = "." if match[4] and stop_ends_sentence(rest_of(match)) else ""
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
    stop = "." if match[7] and stop_ends_sentence(rest_of(match)) else ""
    return f"{first} to {last} {match[6].upper()}M{stop}"


def clock(hour: str, minute: str | None, second: str | None, *, half_day: bool = False) -> str | None:
    """Return a time of day in words, or None if it is out of range."""
    hours, minutes = int(hour), int(minute or 0)
    if hours > 24 or minutes > 59 or int(second or 0) > 59:
        return None
    said = numbers.cardinal(hours)
    if second and int(second):
        return f"{said} {_minutes(minutes)} and {numbers.cardinal(int(second))} seconds"
    if minutes:
        return f"{said} {_minutes(minutes)}"
    if half_day:
        return said
    return f"{said} hundred" if hours > 12 else f"{said} o'clock" if hours else "midnight"


def _minutes(minutes: int) -> str:
    return "oh oh" if not minutes else ("oh " if minutes < 10 else "") + numbers.cardinal(minutes)


RULES = (
    Rule(
        "9",
        rf"({_YEAR})([-/])(\d\d?)\2(\d\d?)"
        r"(?:[T ](\d\d):(\d\d)(?::\d\d(?:\.\d+)?)?(Z|[-+]\d\d:?\d\d)?)?(?![\w-])",
        _iso,
    ),
    Rule("9", r"((?:19|20)\d\d)/(\d\d)(?![\w/])", _season),
    Rule("9", r"(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)(?![\w/])", _slashes),
    Rule("9", rf"(\d{{1,2}})-(\d{{1,2}})-({_YEAR})(?![\w-])", _slashes),
    Rule("9", rf"(\d{{1,2}})\.(\d{{1,2}})\.({_YEAR})(?!\w)", _points),
    Rule("9", rf"{_HOUR}(?:\s?([AaPp])\.?[Mm]\.?)?\s?[-–]\s?{_HOUR}{_HALF_DAY}", _half_day_range),
    Rule("9", rf"{_HOUR}{_HALF_DAY}", _half_day),
    Rule("9", r"(\d{1,2}):(\d\d)\s?[-–]\s?(\d{1,2}):(\d\d)(?![\w:])", _time_range),
    Rule("A", rf"({BOOKS}) (\d{{1,3}}):(\d{{1,3}})(?:[-–](\d{{1,3}}))?(?![\w:])", _verse),
    Rule("9", r"(\d{1,2}):(\d\d)/(km|mi|mile)(?!\w)", _pace),
    Rule("9", r"(\d{1,3}):(\d{1,3})[-–](\d{1,3})(?![\w:])", _verses),
    Rule("9", r"(\d{1,2}):(\d\d)(?::(\d\d))?(?:(Z)(?!\w)|(?![\w:]))", _time),
    Rule("9", r"(\d{1,2})/(\d{1,2})(?![\w/])(?!\.\d)", _day_month_figures),
    Rule("A", r"(GMT|UTC)\s?([-+−])(\d{1,2})(?::(\d\d))?(?!\w)", _zone),
    Rule("A", rf"({MONTH})\.?\s?[-–]\s?({MONTH})\b", _span),
    Rule("A", rf"({alternatives(WEEKDAY_OF)})\.?\s?[-–]\s?({alternatives(WEEKDAY_OF)})\b\.?", _span),
    Rule(
        "A",
        rf"({MONTH})\.?\s(\d{{1,2}})(?:st|nd|rd|th)?(?:[-–](\d{{1,2}})(?:st|nd|rd|th)?)?(?![\w:%/])(?!\.\d)(?:,?\s({_YEAR})(?!\w))?",
        _month_day,
    ),
    Rule("A", rf"({MONTH})\.?\s({_YEAR})(?!\w)", _month_year),
    Rule(
        "9",
        rf"(\d{{1,2}})(?:st|nd|rd|th)?(?:\sof)?\s({MONTH})(?!\w)(?:\.(?=\s\d|[,;]))?(?:,?\s({_YEAR})(?!\w))?",
        _day_month,
    ),
    Rule(
        "A",
        rf"({alternatives(WEEKDAY_OF)})(?:\.(?=,?\s(?:{MONTH}|\d)|[,:])|(?=:)|(?=,?\s(?:{MONTH})\b|\s\d{{1,2}}(?::\d\d|/\d|\s?[ap]m\b)))",
        _weekday,
    ),
    Rule("A", rf"({alternatives(month for month in MONTH_OF if len(month) <= 4)})\.(?!\w)", _month),
    Rule("9A+", r"([A-Za-z]+-)?['’]?(1[1-9]|20)?(\d)0['’]?s(?!\w)", _decade),
    Rule("+", r"['’](\d\d)(?=\s+[A-Za-z]|[,.;:!?)](?!\d)|\s*\Z)", _short_year),
)
