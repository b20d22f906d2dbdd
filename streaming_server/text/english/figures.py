"""All other numbers: ordinals, ranges, sums, and words with digits in them."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers, telephone
from streaming_server.text.english.names import STATES
from streaming_server.text.english.rule import END, NUMBER, PLUS, Rule, alternatives, before, rest_of
from streaming_server.text.english.units import SCALES, UNITS

LONGEST_MIXED = 12
"""Longer runs of letters and digits, such as keys and hashes, are left to the engine."""

_OPERATORS = {
    "+": "plus",
    "-": "minus",
    "−": "minus",
    "*": "times",
    "×": "times",
    "x": "times",
    "÷": "divided by",
    "/": "divided by",
    "=": "equals",
    "==": "equals",
    "<": "is less than",
    ">": "is greater than",
    "^": "to the power of",
    "**": "to the power of",
    "±": "plus or minus",
    "<=": "is at most",
    ">=": "is at least",
    "!=": "is not equal to",
    "≤": "is at most",
    "≥": "is at least",
    "≠": "is not equal to",
    "≈": "is about",
    "²": "squared",
    "³": "cubed",
}
_SIGNS = {
    "±": "plus or minus",
    "~": "about",
    "≈": "about",
    "<": "less than",
    ">": "more than",
    "≤": "at most",
    "≥": "at least",
    "#": "number",
    "№": "number",
    "§": "section",
    "§§": "sections",
    "√": "the square root of",
    "©": "copyright",
}
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"
_DIGITS = str.maketrans(SUPERSCRIPTS + SUBSCRIPTS, "0123456789-" + "0123456789")
_RAISED = re.compile(f"[{SUPERSCRIPTS}]+")
_POWER = re.compile(r"\s?(?:\*\*|\^)\s?([23])(?![\d.])")
_TERM = re.compile(rf"{NUMBER}|\*\*|[<>!]=|[^\s\d]")
_RUN = re.compile(r"\d+(?:\.\d+)?|[^\d-]+|-")
_FACTOR = rf"{NUMBER}[{SUPERSCRIPTS}]*"
_SUM = (
    rf"{_FACTOR}(?:\s?(?:\*\*|\^[-−]?|[<>!]=|[+×*÷=<>±≤≥≠≈])\s?{_FACTOR}|\s[-−x]\s{_FACTOR})+"
    rf"|{NUMBER}(?:\s?[-−+×x*÷/]\s?{NUMBER})+\s?=\s?{NUMBER}|{NUMBER}[{SUPERSCRIPTS}]+"
)
_CODE_BEFORE = re.compile(
    r"\b(?:codes?|PIN|pin|ZIP|[Zz]ip|OTP|[Pp]asscode|[Pp]assword|[Ee]nding in|[Ee]xt(?:ension|\.)?)"
    rf"(?:\s(?:code|number|is|was))?:?\s\Z|(?:,\s(?:{STATES})|\bD\.C\.)\s\Z"
)
"""Words after which a number is read digit by digit."""
_ORDER_BEFORE = re.compile(
    r"#\Z|\b(?:[Oo]rder|[Ii]nvoice|[Cc]ase|[Tt]icket|[Aa]ccount|[Rr]ef(?:erence)?|[Bb]ooking|[Tt]racking|[Ss]erial|ID)"
    r"(?:\s(?:number|no\.|code|is|ID))*:?\s\Z"
)
"""Words after which a number of five digits or more is read digit by digit."""
_COUNTED = re.compile(r"\s(?:lines?|words?|characters?|bytes?|bits?|files?|pages?|times|percent)\b")
"""Pattern of a noun that makes a number a count even after those words: "The code is 500 lines long"."""
_IS_TERM = re.compile(r"\s(?:is|equals|are)\b")
_OPERATOR_BEFORE = re.compile(r"[\w)²³]\s?[-−+=*]\s?\Z")
_ASKED_BEFORE = re.compile(r"\b(?:[Ww]hat(?:'s|\sis)|[Cc]alculate|[Cc]ompute|[Ss]olve|equals|=)\s\Z")
_WIN_AFTER = re.compile(r"\s(?:win|victory|loss|defeat|lead|draw|score|on\b|up\b|down\b)")
_MAGNETIC = re.compile(r"\s(?:MRI|MR|scann|magnet|field|machine)")
_COUNTED_IN_TRILLIONS = re.compile(
    r"\+?\s(?:tokens|param|dollars|euros|USD|in\b|of\b|market|operations|FLOP|op)"
)
_EARLY_YEAR = re.compile(r"10\d\d")
_YEAR_BEFORE = re.compile(
    r"\b(?:[Ii]n|[Ss]ince|[Uu]ntil|[Bb]y|[Aa]fter|[Bb]efore|[Aa]round|[Yy]ear|AD|circa|[Ee]arly|[Ll]ate|[Ff]rom)\s\Z"
)
_ERA_AFTER = re.compile(r"\s(?:AD|BC|CE|BCE)\b")
_VERB_AFTER = re.compile(r"\s(?:was|is|saw|marked|brought)\b")
_SENTENCE_BEFORE = re.compile(r"(?:\A|[.!?\n]\s*)\Z")
_NO_NOUN = re.compile(
    r"\s*(?:[,.;:!?)]|\Z)|\s(?:[A-Z]|(?:the|and|to|when|he|she|it|was|were|by|at|as|or|with|but|an?|they|until|after)\b)"
)
_PAIRS = frozenset({("7", "11"), ("24", "7"), ("1", "800"), ("1", "888")})


def _ordinal(match: re.Match[str]) -> str:
    return numbers.ordinal(int(match[1].replace(",", "")))


def _ratio(match: re.Match[str]) -> str:
    """ "16:9" and "1:1000" are ratios, "8080:80" is not."""
    first, last = match[1], match[2]
    joint = "to" if "1" in (first, last) or max(len(first), len(last)) < 3 else "colon"
    return f"{numbers.number(first)} {joint} {numbers.number(last)}"


def _scientific(match: re.Match[str]) -> str:
    return f"{numbers.number(match[1])} times ten to the power of {numbers.number(match[2].lstrip('+'))}"


def _power(match: re.Match[str]) -> str:
    return f"{match[1]} {'squared' if (match[2] or match[3]) in '2²' else 'cubed'}"


def _term_power(match: re.Match[str]) -> str:
    """ "2x²"."""
    power = "squared" if (match[3] or match[4]) in "2²" else "cubed"
    return f"{numbers.number(match[1])} {match[2]} {power}"


def _any_power(match: re.Match[str]) -> str:
    """ "2^n", "e^-x"."""
    base, minus, exponent = match[1], match[2], match[3]
    base = numbers.number(base) if base[0].isdecimal() else base
    exponent = numbers.number(exponent) if exponent.isdecimal() else exponent
    return f"{base} to the power of {'minus ' if minus else ''}{exponent}"


def _assignment(match: re.Match[str]) -> str:
    """ "n=30"."""
    return f"{match[1]} {_OPERATORS[match[2]]} "


def _range(match: re.Match[str]) -> str:
    first, last = match[1], match[2]
    joint = " " if (first, last) in _PAIRS or _is_split(first, last) else " to "
    return numbers.count_or_year(first) + joint + numbers.count_or_year(last)


def _spaced_range(match: re.Match[str]) -> str | None:
    """ "pages 10 - 12", "a 3 - 1 win"; "10 - 3" is a difference."""
    rises = float(match[1]) <= float(match[2]) and not _ASKED_BEFORE.search(before(match))
    return _range(match) if rises or _WIN_AFTER.match(rest_of(match)) else None


def _is_split(first: str, last: str) -> bool:
    """ "60-40"."""
    return first.endswith("0") and last.isdecimal() and first.isdecimal() and int(first) + int(last) == 100


def _sum(match: re.Match[str]) -> str:
    text = _RAISED.sub(lambda power: "^" + power[0].translate(_DIGITS), match[1])
    terms = _TERM.findall(_POWER.sub(lambda power: "²³"[power[1] == "3"], text))
    said = " ".join(_OPERATORS.get(term) or numbers.number(term) for term in terms)
    return f"{said} {UNITS[match[2]][1]}" if match[2] else said


def _signed(match: re.Match[str]) -> str:
    return f"{'plus' if match[1] == '+' else 'minus'} {numbers.count_or_year(match[2])}"


def _sign(match: re.Match[str]) -> str:
    return f"{_SIGNS[match[0].strip()]} "


def _number(match: re.Match[str]) -> str:
    return count_or_code(match) + (" plus" if match[2] else "")


def count_or_code(match: re.Match[str]) -> str:
    """A number, or its digits where it is a code or a telephone number."""
    if _is_code(match):
        return numbers.digits(match[1])
    if _is_early_year(match):
        return numbers.year(int(match[1]))
    return telephone.lone_number(match) or numbers.count_or_year(match[1])


def _is_code(match: re.Match[str]) -> bool:
    if len(match[1]) >= 5 and match[1].isdecimal() and _ORDER_BEFORE.search(before(match)):
        return True
    if len(match[1]) < 3 or not match[1].isdecimal() or _COUNTED.match(rest_of(match)):
        return False
    return _CODE_BEFORE.search(before(match)) is not None


def _times(match: re.Match[str]) -> str | None:
    """ "5x faster", but "2x is 10"."""
    if match[2] == "X" and len(match[1]) > 3:
        return None
    term = _IS_TERM.match(rest_of(match)) or _OPERATOR_BEFORE.search(before(match))
    return f"{numbers.number(match[1])} {'x' if term else 'times'}"


def _times_between(match: re.Match[str]) -> str:
    """ "3-4x faster"."""
    return f"{numbers.number(match[1])} to {numbers.number(match[2])} times"


def _ordinals(match: re.Match[str]) -> str:
    """ "1st-3rd"."""
    return f"{numbers.ordinal(int(match[1]))} to {numbers.ordinal(int(match[2]))}"


def _pixels(match: re.Match[str]) -> str:
    """ "1920 x 1080"."""
    return f"{_in_pairs(match[1])} by {_in_pairs(match[2])}"


def _is_early_year(match: re.Match[str]) -> bool:
    """ "In 1066, William won" and "(1066)", but not "in 1050 cases"."""
    if not _EARLY_YEAR.fullmatch(match[1]):
        return False
    words, rest = before(match), rest_of(match)
    if words.endswith("(") and rest.startswith(")"):
        return True
    if _SENTENCE_BEFORE.search(words) and _VERB_AFTER.match(rest):
        return True
    return bool(_ERA_AFTER.match(rest) or (_YEAR_BEFORE.search(words) and _NO_NOUN.match(rest)))


def _arrow(match: re.Match[str]) -> str:
    """ "a->b"."""
    return f"{numbers.number(match[1]) if match[1].isdecimal() else match[1]} to "


def _size(match: re.Match[str]) -> str:
    """ "4x4", "1920x1080"."""
    return " by ".join(map(_in_pairs, re.split("[xX]", match[0])))


def _lines(match: re.Match[str]) -> str:
    """ "1080p"."""
    return f"{_in_pairs(match[1])} p"


def _in_pairs(text: str) -> str:
    """ "1080" → "ten eighty"."""
    high, low = divmod(int(text), 100)
    return f"{numbers.cardinal(high)} {numbers.cardinal(low)}" if high and low > 9 else numbers.number(text)


def _scaled(match: re.Match[str]) -> str | None:
    """ "2.3B", "5M", "3T tokens"; "a 3T MRI" has a field of three tesla, and "2T" may be anything."""
    if match[2] == "T" and not _COUNTED_IN_TRILLIONS.match(rest_of(match)):
        return f"{numbers.number(match[1])} {'tesla' if _MAGNETIC.match(rest_of(match)) else 'T'}"
    return f"{numbers.number(match[1])} {SCALES[match[2]]}{' plus' if match[3] else ''}"


def _between(match: re.Match[str]) -> str:
    """ "2-for-1"."""
    return numbers.number(match[1]) + match[2] + numbers.number(match[3])


def _plan(match: re.Match[str]) -> str:
    """ "401(k)"."""
    return f"{numbers.digits(match[1]).replace('zero', 'oh')} {match[2]}"


def _mixed(match: re.Match[str]) -> str | None:
    """ "MP3", "GPT-4", "COVID-19", "5G", "B2B"."""
    text = match[0].translate(_DIGITS)
    if max(map(len, text.split("-"))) > LONGEST_MIXED or len(text) > 2 * LONGEST_MIXED:
        return None
    runs = [run for run in _RUN.findall(text) if run != "-"]
    return " ".join(numbers.count_or_year(run) if run[0].isdecimal() else run for run in runs)


RULES = (
    Rule("9", r"(\d{1,4})(?:st|nd|rd|th)\s?[-–]\s?(\d{1,4})(?:st|nd|rd|th)(?!\w)", _ordinals),
    Rule("9", r"(\d{1,3}(?:,\d{3})+|\d{1,15})(?:st|nd|rd|th)(?!\w)", _ordinal),
    Rule("9A", r"([A-Za-z_]\w*|\d+)(?:->|→|=>|⇒)(?=[\w\"'(])", _arrow),
    Rule("9", rf"({NUMBER})[eE]([-+]?\d{{1,3}})(?!\w)", _scientific),
    Rule("9", r"(\d{3,4})\s?[x×]\s?(\d{3,4})(?![\w.])(?!\s?=)", _pixels),
    Rule("9", rf"(\d{{1,4}}(?:\.\d+)?)\s-\s(\d{{1,4}}(?:\.\d+)?){END}(?!\s?[-−+*/=×÷x%])", _spaced_range),
    Rule("9", rf"({_SUM}){END}(?!%)(?:\s({alternatives(UNITS)})(?![\w/²³^]))?", _sum),
    Rule("9", r"(\d{1,5})(?:[xX]\d{1,5}){1,2}(?!\w|\s?=)", _size),
    Rule("9", rf"({NUMBER})\s[x×]\s(?=\d)", lambda match: f"{numbers.number(match[1])} times "),
    Rule("9", r"(\d{1,3}(?:\.\d+)?)[-–](\d{1,3}(?:\.\d+)?)[x×](?![\w-])", _times_between),
    Rule("9", r"(\d{3,4})p(?!\w)", _lines),
    Rule("9", rf"({NUMBER})([xX×])(?![\w-])(?!\s?[-−+*/=^])", _times),
    Rule("9", rf"(\d+\.\d+(?=[kKMBT]|bn|mn)|\d+(?=[MT]|bn|mn))([kKMBT]|bn|mn){PLUS}(?!\w)", _scaled),
    Rule("9", r"(\d+)((?:-[A-Za-z]+)+-)(\d+)(?![\w-])", _between),
    Rule("9", r"(\d{3})\(([a-z])\)", _plan),
    Rule("9", r"(40[13])([bk])(?!\w)", _plan),
    Rule("9", r"(\d{1,4}(?:\.\d+)?)(?:[-–]|\s–\s)(\d{1,4}(?:\.\d+)?)(?![\w-])(?!\.\d)", _range),
    Rule("9", r"(\d{1,5}):(\d{1,5})(?![\w:])", _ratio),
    Rule("+", r"×\s?(?=\d)", lambda match: "times "),
    Rule("+", rf"([-−+])({NUMBER}){END}(?!/\d)", _signed),
    Rule("+", r"#(?=\d)(?!\d+[A-Za-z])|[±~≈<>≤≥√](?=[\d$£€¥]|\.\d)|(?:[№©]|§{1,2})\s?(?=\d)", _sign),
    Rule("9", r"(\d{1,4})([a-z])(?:(?:\^|\*\*)([23])|([²³]))(?!\w)", _term_power),
    Rule("9A", r"([A-Za-z]|\d{1,6})(?:\^|\*\*)([-−])?(?![23]\b)([A-Za-z]|\d{1,3})(?!\w)", _any_power),
    Rule("9+", rf"({NUMBER}){END}{PLUS}", _number),
    Rule("A", r"([A-Za-z]{1,2})(?:(?:\^|\*\*)([23])|([²³]))(?!\w)", _power),
    Rule("A", r"([A-HJ-Za-z])([<>])(?=\.?\d)", _assignment),
    Rule("A", r"([A-Za-z_]\w*)(==?|!=|<=|>=)(?=[\w\"'.-])", _assignment),
    Rule(
        "9A",
        rf"(?=[A-Za-z-]*[\d{SUBSCRIPTS}])[A-Za-z0-9{SUBSCRIPTS}]++(?:\.\d++)?+"
        r"(?:-[A-Za-z0-9]++(?:\.\d++)?+)*+(?![\w-])(?!\.\d)",
        _mixed,
    ),
)
