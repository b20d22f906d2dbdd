"""Amounts of money."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.abbreviations import alternatives
from streaming_server.text.english.reading import END, NUMBER, Reading
from streaming_server.text.english.units import CODES, CURRENCIES, PER, SCALES

_SIGN = r"[$£€¥₹₩₽₿]"
_SCALE = r"(?:\s?(hundred|thousand|million|billion|trillion|[kKmMbBT]|mn|bn|tn))?"
_PER = rf"(?:/({alternatives(PER)}))?"
_NATIONS = {"US": "US ", "C": "Canadian ", "CA": "Canadian ", "A": "Australian ", "AU": "Australian ", "": ""}


def amount(figure: str, sign: str, scale: str | None = None) -> str:
    """ "3.50" "$" → "three dollars and fifty cents"."""
    one, many, cent, cents = CURRENCIES[sign]
    if scale:
        return f"{numbers.number(figure)} {SCALES[scale]} {many}"
    whole, _, fraction = figure.replace(",", "").partition(".")
    if len(fraction) != 2 or not cent:
        return f"{numbers.number(figure)} {one if figure == '1' else many}"
    parts = []
    if int(whole) or not int(fraction):
        parts.append(f"{numbers.number(whole)} {one if whole == '1' else many}")
    if int(fraction):
        parts.append(f"{numbers.cardinal(int(fraction))} {cent if fraction == '01' else cents}")
    return " and ".join(parts)


def _sign_first(match: re.Match[str]) -> str:
    minus, nation, sign, figure, last, scale, per = match.groups()
    said = f"{numbers.number(figure)} to {amount(last, sign, scale)}" if last else amount(figure, sign, scale)
    prefix = {"-": "minus ", "−": "minus ", "+": "plus "}.get(minus or "", "")
    return f"{prefix}{_NATIONS.get(nation or '', '')}{said}" + (f" per {PER[per]}" if per else "")


def _code_first(match: re.Match[str]) -> str:
    return amount(match[2], CODES[match[1]], match[3])


def _sign_last(match: re.Match[str]) -> str:
    return amount(match[1], CODES.get(match[3], match[3]), match[2])


def _cents(match: re.Match[str]) -> str:
    return f"{numbers.number(match[1])} {'cent' if numbers.is_one(match[1]) else 'cents'}"


READINGS = (
    Reading(
        "+A",
        rf"([-−+])?(US|CA?|AU?)?({_SIGN})\s?({NUMBER})(?:\s?[-–]\s?{_SIGN}?({NUMBER}))?{_SCALE}{END}{_PER}",
        _sign_first,
    ),
    Reading("A", rf"({alternatives(CODES)})\s?({NUMBER}){_SCALE}{END}", _code_first),
    Reading("9", rf"({NUMBER}){_SCALE}\s?({_SIGN}|(?:{alternatives(CODES)}){END})", _sign_last),
    Reading("9", rf"({NUMBER})\s?¢", _cents),
)
