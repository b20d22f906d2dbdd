"""Sounds and gestures that a text asks for: "(laughs)", "[sighs deeply]", "*clears throat*".

An engine that makes these sounds gets them in its own form; otherwise they are left out. Asterisks also
emphasise, so what stands around them decides.
"""

from __future__ import annotations

import regex

from streaming_server.text.cursor import Construct, Cursor
from streaming_server.text.items import replacement
from streaming_server.text.nonverbals import NONVERBALS

LONGEST = 60
"""Longest aside, in code points."""

_SOUNDS = {
    "laugh": "laughs", "chuckle": "chuckle", "giggle": "laughs", "snicker": "laughs", "sigh": "sighs",
    "gasp": "gasps", "cough": "coughs", "groan": "groans", "moan": "groans", "sniff": "sniffs",
    "sniffle": "sniffs", "sneeze": "sneezes", "burp": "burps", "scream": "screams", "shriek": "screams",
    "mumble": "mumbles", "mutter": "mumbles", "murmur": "mumbles", "sing": "sings", "hum": "humming",
    "whistle": "whistles", "clap": "claps", "inhale": "inhales", "exhale": "exhales", "beep": "beep",
    "whisper": "", "shout": "", "yell": "", "sob": "", "cry": "", "weep": "", "yawn": "", "gulp": "",
    "snort": "", "grunt": "", "growl": "", "wheeze": "", "hiccup": "", "scoff": "", "smile": "", "grin": "",
    "nod": "", "wink": "", "shrug": "", "smirk": "", "pause": "",
}  # fmt: skip
"""Verbs, with the sound that Dia makes for each, if any."""
_DOUBLED = frozenset({"hum", "clap", "sob", "grin", "nod", "shrug"})
_PLAIN_TOO = frozenset({
    "laugh", "chuckle", "giggle", "sigh", "gasp", "cough", "groan", "sniff", "sneeze", "burp", "beep",
    "whisper", "sob", "yawn", "gulp", "snort", "hiccup", "pause",
})  # fmt: skip
"""Verbs that also stand without an ending."""
_NOUNS = {"laughter": "laughs", "applause": "applause", "deep breath": "inhales"}
_PHRASES = {
    f"{verb} {owner}{what}": sound
    for verbs, what, sound in (
        (("clear", "clears", "clearing"), "throat", "clears throat"),
        (("takes", "taking", "takes in"), "deep breath", "inhales"),
        (("takes", "taking"), "breath", "inhales"),
        (("rolls", "rolling"), "eyes", ""),
        (("shakes", "shaking"), "head", ""),
        (("raises", "raising"), "eyebrow", ""),
    )
    for verb in verbs
    for owner in ("", "a ", "an ", "the ", "his ", "her ", "their ", "my ", "your ")
}
_IN_BRACKETS = dict.fromkeys(("music", "music playing", "silence", "inaudible", "crosstalk", "static"), "")
"""Words of transcripts, which are ordinary words between other marks."""


def _third(verb: str) -> str:
    return f"{verb[:-1]}ies" if verb == "cry" else f"{verb}s"


def _gerund(verb: str) -> str:
    return f"{verb[:-1] if verb.endswith('e') else verb + verb[-1] if verb in _DOUBLED else verb}ing"


_THIRD = {_third(verb): sound for verb, sound in _SOUNDS.items()}
_NAMES = (
    _THIRD
    | {_gerund(verb): sound for verb, sound in _SOUNDS.items()}
    | {verb: _SOUNDS[verb] for verb in _PLAIN_TOO}
    | _NOUNS
    | _PHRASES
)
_HOW_BEFORE = (
    r"(?:(?:\w{2,12}ly|soft|nervous|loud|quiet|light|long|short|brief|dramatic|awkward|everyone|all|both"
    r"|(?:the )?(?:audience|crowd)) )?"
)
_HOW_AFTER = (
    r"(?: (?:\w{2,12}ly|hard|aloud|out loud|loud|again|a little|a bit|in|out|to (?:her|him|my)self"
    r"|to themselves|for (?:air|breath)|(?:in|with) (?:relief|frustration|disbelief|surprise|pain|joy"
    r"|horror|shock|delight|amusement|agreement|annoyance|exasperation))){0,2}"
)


def _aside(names: dict[str, str]) -> str:
    name = "|".join(map(regex.escape, sorted(names, key=len, reverse=True)))
    return rf"{_HOW_BEFORE}(?P<name>{name}){_HOW_AFTER}(?:(?:,| and|, then) (?:{name}){_HOW_AFTER})?"


_ASIDE = _aside(_NAMES)
_ENCLOSED = regex.compile(
    rf"\({_ASIDE}[.!]?\)|\[[ ]?{_aside(_NAMES | _IN_BRACKETS)}[ ]?\](?=[^(\[:])", regex.IGNORECASE
)
_STARRED = regex.compile(
    rf"(?P<mark>\*{{1,2}}|_){_ASIDE}[.!…]?(?P=mark)(?=[^\w*])(?=[ \t]*+(?P<next>[^ \t]))", regex.IGNORECASE
)


def enclosed(cursor: Cursor) -> Construct | None:
    """A sound or gesture in parentheses or brackets."""
    match = cursor.match(_ENCLOSED, LONGEST)
    return _construct(cursor, match) if match else None


def starred(cursor: Cursor) -> Construct | None:
    """A sound or gesture between asterisks, where these do not emphasise a word of a sentence."""
    if cursor.previous.isalnum() or cursor.previous in ("*", "_"):
        return None
    match = cursor.match(_STARRED, LONGEST)
    return _construct(cursor, match) if match and _stands_apart(match, cursor.before) else None


def _stands_apart(match: regex.Match[str], before: str) -> bool:
    """Return whether a word is not part of a sentence, as in "He *laughs* a lot" or "*Coughs* are common"."""
    following = match["next"]
    third = match["name"].lower() in _THIRD
    if before.isalnum():
        return third and following.isupper()
    return not following.islower() or (third and match["name"].islower())


def _construct(cursor: Cursor, match: regex.Match[str]) -> Construct | None:
    if not cursor.style.nonverbals:
        return Construct(match.end())
    if match[0][1:-1].lower() in NONVERBALS and match[0][0] == "(":
        return None
    sound = _NAMES.get(match["name"].lower())
    items = (replacement(f"({sound})", cursor.place, cursor.offset + match.end()),) if sound else ()
    return Construct(match.end(), items)
