"""Amounts of money."""

from __future__ import annotations

import re

from streaming_server.text.english import numbers
from streaming_server.text.english.rule import (
    ARTICLE_BEFORE,
    END,
    NOUN_AFTER,
    NUMBER,
    Rule,
    alternatives,
    before,
    rest_of,
)
from streaming_server.text.english.units import CODES, CURRENCIES, PER, SCALES

_SIGN = f"(?:{alternatives(CURRENCIES.keys() - CODES.keys())})"
_FIGURE = rf"(?:\d{{1,3}}(?:\.\d{{3}})*,\d\d(?!\d|,\d)|{NUMBER})"
"""Also with a decimal comma."""
_SCALE = r"(?:(?:\s|-(?=[hmbt][a-z]{3}))?(hundred|thousand|million|billion|trillion|[kKmMbBT]|mn|bn|tn))?"
_PER = rf"(?:/({alternatives(PER)}|[a-z]{{3,12}})\b(?:\.(?=\s+[a-z]|[,;:)]))?|(\+)(?!\w))?"
_BILL_AFTER = re.compile(r"\s(?:bills?|notes?|gift|coupons?|vouchers?|coins?)\b")
_COMMA = re.compile(r",(\d\d)\Z")


def amount(figure: str, sign: str, scale: str | None = None, *, qualifies: bool = False) -> str:
    """ "3.50" "$" → "three dollars and fifty cents". qualifies: a noun follows, as in "a $5 bill"."""
    one, many, cent, cents = CURRENCIES[sign]
    many = one if qualifies else many
    if scale:
        return f"{numbers.number(figure)} {SCALES[scale]} {many}"
    if _COMMA.search(figure):
        figure = _COMMA.sub(r".\1", figure.replace(".", ""))
    whole, _, fraction = numbers.plain(figure).partition(".")
    if len(fraction) != 2 or not cent:
        return f"{numbers.number(figure)} {one if figure == '1' else many}"
    parts = []
    if int(whole or "0") or not int(fraction):
        parts.append(f"{numbers.number(whole)} {one if whole == '1' else many}")
    if int(fraction):
        parts.append(f"{numbers.cardinal(int(fraction))} {cent if fraction == '01' else cents}")
    return " and ".join(parts)


def _sign_first(match: re.Match[str]) -> str:
    minus, sign, figure, own, last, scale, per, plus = match.groups()
    if not last:
        said = amount(figure, sign, scale, qualifies=_qualifies(match))
    elif own and own != scale:
        said = f"{amount(figure, sign, own)} to {amount(last, sign, scale)}"
    else:
        first = figure.removesuffix(".00")
        said = amount(first, sign) if "." in first and not scale else numbers.number(first)
        said += f" to {amount(last, sign, scale)}"
    prefix = {"-": "minus ", "−": "minus ", "+": "plus "}.get(minus or "", "")
    return prefix + said + (f" per {PER.get(per, per)}" if per else " plus" if plus else "")


def _qualifies(match: re.Match[str]) -> bool:
    """ "a $5 bill", "$20 bills"; not "a $4.50 bill"."""
    rest = rest_of(match)
    if match[6] and f"-{match[6]}" in match[0]:
        return True
    if "." in match[3] and not match[6]:
        return False
    return bool(_BILL_AFTER.match(rest) or (NOUN_AFTER.match(rest) and ARTICLE_BEFORE.search(before(match))))


def _code_first(match: re.Match[str]) -> str:
    return amount(match[2], CODES[match[1]], match[3])


def _sign_last(match: re.Match[str]) -> str:
    return amount(match[1], CODES.get(match[3], match[3]), match[2])


def _cents(match: re.Match[str]) -> str:
    return f"{numbers.number(match[1])} {'cent' if numbers.is_one(match[1]) else 'cents'}"


RULES = (
    Rule(
        "+A",
        rf"([-−+])?({_SIGN})\s?({_FIGURE})(?:{_SCALE}\s?[-–]\s?{_SIGN}?({NUMBER}))?{_SCALE}{END}{_PER}",
        _sign_first,
    ),
    Rule("A", rf"({alternatives(CODES)})\s?({_FIGURE}){_SCALE}{END}", _code_first),
    Rule("9", rf"({_FIGURE}){_SCALE}\s?({_SIGN}|(?:{alternatives(CODES)}){END})", _sign_last),
    Rule("9", rf"({NUMBER})\s?¢", _cents),
)
