"""SSML, and what clients of other vendors send in its stead.

Any well-formed tag is dropped; `a < b`, `x<y` and `vector<int>` are text. A pause and a speaker tag may also
stand in square brackets.
"""

from __future__ import annotations

import html
from dataclasses import replace

import regex

from streaming_server.text.cursor import Construct, Cursor
from streaming_server.text.english.figures import SUBSCRIPTS, SUPERSCRIPTS
from streaming_server.text.items import Item, Said, SpeakerChange, literal, pause, replacement
from streaming_server.text.prosody import NEUTRAL, ProsodyChange, prosody_of
from streaming_server.text.say_as import say_as, spelled

PAUSES_S = {"none": 0.0, "x-weak": 0.25, "weak": 0.5, "medium": 0.75, "strong": 1.0, "x-strong": 1.25}
"""`<break strength>`, in seconds, as in Azure's documentation."""

_KNOWN = (
    "audio|b|blockquote|br|break|code|div|em|emotion|emphasis|h[1-6]|i|img|lang|li|lexicon|mark|math|metadata|meta|ol"
    "|p|par|phoneme|prosody|pre|s|say-as|seq|span|speak|speed|spell|strong|sub|sup|table|td|th|token|tr|u|ul"
    "|voice|volume|w"
)
_VALUE = r"""(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>=/]++)"""
_ATTRIBUTES = rf"(?:\s++[A-Za-z_:][\w:.-]*+\s*+=\s*+{_VALUE})*+\s*+"
_TAG = rf"</?+(?P<tag>[A-Za-z][A-Za-z0-9:-]*+){_ATTRIBUTES}/?>"
_KNOWN_NAME = regex.compile(_KNOWN, regex.IGNORECASE)
_CDATA = regex.compile(r"<!\[CDATA\[(.*?)\]\]>", regex.DOTALL)
_COMMENT = regex.compile(r"<!--.*?-->|<\?[a-z]++[^<>]*+>|<![A-Z]++[^<>]*+>", regex.DOTALL)
_ADDRESS = r"<(?P<address>(?:https?://|mailto:)[^\s<>]++|[\w.+-]++@[\w.-]++)>"
_ELEMENT = regex.compile(
    rf"<(?P<name>sub|sup|say-as|spell|phoneme){_ATTRIBUTES}>(?P<text>[^<]{{0,200}}+)</(?P=name)\s*+>",
    regex.IGNORECASE,
)
_BRACKETED = regex.compile(rf"{_TAG}|{_ADDRESS}")
_ATTRIBUTE = regex.compile(rf"([A-Za-z_:][\w:.-]*+)\s*+=\s*+({_VALUE})")
_FIGURE = regex.compile(r"-?[0-9]{1,4}")
_FIGURES = {
    "sup": str.maketrans("0123456789-", SUPERSCRIPTS),
    "sub": str.maketrans("0123456789", SUBSCRIPTS),
}
_SECONDS = regex.compile(r"\+?(\d*\.?\d+)\s*(ms|s|sec|seconds?)?", regex.IGNORECASE)
_ENTITY = regex.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_PAUSE = regex.compile(r"\[pause(?:[ :=]{0,2}(\d*\.?\d+ ?(?:ms|sec|seconds?|s)?))?\]", regex.IGNORECASE)
_SPEAKER = regex.compile(r"\[[ \t]?[sS][ \t]?([12])[ \t]?\]")
_SPOKEN_OTHERWISE = frozenset({"sub", "sup", "say-as", "spell", "phoneme"})
_PROSODY = frozenset({"prosody", "emphasis", "speed"})
_LINE_BREAKS = frozenset({"p", "s", "br", "div", "li", "ul", "ol", "tr", "table", "blockquote", "pre", "par"})


def tag(cursor: Cursor) -> Construct | None:
    """A tag, an element whose text is spoken otherwise, a comment, or an address in angle brackets."""
    following = cursor.following()
    if following in "!?":
        if (match := cursor.match(_CDATA)) is not None:
            said = literal(match[1], cursor.offset + match.start(1))
            return Construct(match.end(), (said,) if said.text else ())
        match = cursor.match(_COMMENT)
        return Construct(match.end()) if match else None
    match = cursor.match(_BRACKETED)
    if match is None:
        return None
    if match["address"]:
        return Construct(match.end(), (literal(match["address"], cursor.place + 1),))
    if following != "/" and match["tag"].lower() in _SPOKEN_OTHERWISE and (element := cursor.match(_ELEMENT)):
        return _element(cursor, element, _attributes(match[0]))
    return _plain_tag(cursor, match)


def _element(cursor: Cursor, match: regex.Match[str], attributes: dict[str, str]) -> Construct:
    """An element that says how to speak its text."""
    name = match["name"].lower()
    if name in _FIGURES and "alias" not in attributes and _FIGURE.fullmatch(match["text"]):
        small = match["text"].translate(_FIGURES[name])
        return Construct(match.end(), (Said(small, cursor.place, cursor.offset + match.end(), False),))
    start, end = cursor.offset + match.start("text"), cursor.offset + match.end("text")
    written = Said(html.unescape(match["text"]), start, end, literal=match["text"].find("&") < 0)
    return Construct(match.end(), _spoken_for(cursor, name, attributes, written))


def _spoken_for(cursor: Cursor, name: str, attributes: dict[str, str], written: Said) -> tuple[Item, ...]:
    if not written.text.strip():
        return ()
    match name:
        case "sub" if alias := attributes.get("alias"):
            spoken: str | None = alias
        case "spell":
            spoken = spelled(written.text)
        case "say-as":
            kind, form = attributes.get("interpret-as", ""), attributes.get("format", "")
            spoken = say_as(kind, written.text, form, english=cursor.style.english)
        case "phoneme" if cursor.style.ipa and attributes.get("alphabet", "ipa").lower() == "ipa":
            ipa = attributes.get("ph")
            return (replacement(written.text, written.start, written.end, ipa=ipa) if ipa else written,)
        case _:
            spoken = None
    return (written if spoken is None else replacement(spoken, written.start, written.end),)


def _plain_tag(cursor: Cursor, match: regex.Match[str]) -> Construct | None:
    """Any other tag: a pause, a line break, a change of prosody, or nothing."""
    name = match["tag"].lower()
    known = _KNOWN_NAME.fullmatch(name)
    if not known and cursor.previous.isalnum() and not match[0].startswith("</"):
        return None
    if name == "break" and not match[0].startswith("</"):
        return Construct(match.end(), (pause(_break_s(_attributes(match[0])), cursor.place),))
    if name in _LINE_BREAKS or (name[:1] == "h" and name[1:].isdigit()):
        end = cursor.offset + match.end()
        return Construct(match.end(), (replacement("\n", cursor.place, end),))
    if name == "img" and (alternative := _attributes(match[0]).get("alt")):
        return Construct(match.end(), (replacement(alternative, cursor.place, cursor.offset + match.end()),))
    if name in _PROSODY or name == "speak":
        return Construct(match.end(), _prosody(cursor, name, match[0]))
    return Construct(match.end())


def _prosody(cursor: Cursor, name: str, tag: str) -> tuple[ProsodyChange, ...]:
    """The start or the end of an element; a `<speed/>` holds until the next one, as Cartesia has it."""
    end = ProsodyChange(name, None, cursor.place)
    if tag.startswith("</"):
        return (end,)
    if name == "speak" or (tag.endswith("/>") and name != "speed"):
        return ()
    prosody = prosody_of(name, _attributes(tag))
    if not cursor.style.pitch:
        prosody = NEUTRAL if name == "emphasis" else replace(prosody, pitch=1.0)
    start = ProsodyChange(name, prosody, cursor.place)
    return (end, start) if tag.endswith("/>") else (start,)


def _attributes(text: str) -> dict[str, str]:
    return {
        match[1].lower(): html.unescape(match[2].strip("\"'")).replace("\0", "")
        for match in _ATTRIBUTE.finditer(text)
    }


def _break_s(attributes: dict[str, str]) -> float:
    """Seconds of a `<break>`."""
    seconds = _seconds(attributes.get("time", ""))
    if seconds is not None:
        return seconds
    return PAUSES_S.get(attributes.get("strength", "medium").lower(), PAUSES_S["medium"])


def _seconds(text: str) -> float | None:
    match = _SECONDS.fullmatch(text.strip())
    if match is None:
        return None
    return float(match[1]) / (1000 if (match[2] or "s").lower() == "ms" else 1)


def entity(cursor: Cursor) -> Construct | None:
    """`&amp;` and the like; `AT&T` is text."""
    match = cursor.match(_ENTITY)
    if match is None:
        return None
    character = html.unescape(match[0]).replace("\xa0", " ")
    if character == match[0]:
        return None
    return Construct(match.end(), (Said(character, cursor.place, cursor.offset + match.end(), False),))


def bracketed_pause(cursor: Cursor) -> Construct | None:
    """`[pause 1.5s]`"""
    match = cursor.match(_PAUSE) if cursor.following() in "pP" else None
    if match is None:
        return None
    seconds = _seconds(match[1]) if match[1] else None
    return Construct(match.end(), (pause(PAUSES_S["medium"] if seconds is None else seconds, cursor.place),))


def speaker_tag(cursor: Cursor) -> Construct | None:
    """`[S1]` and `[S2]`"""
    match = cursor.match(_SPEAKER) if cursor.following() in "sS \t" else None
    if match is None:
        return None
    if cursor.style.speaker_tags:
        end = cursor.offset + match.end()
        return Construct(match.end(), (Said(match[0], cursor.place, end, settled=True),))
    return Construct(match.end(), (SpeakerChange(f"S{match[1]}", cursor.place),))
