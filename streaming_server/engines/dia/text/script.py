"""Pure: what a person wrote → the script Dia reads, and its bytes.

Dia reads UTF-8 bytes, in which the tags `[S1]` and `[S2]` are the single bytes 1 and 2. It speaks well when a
script begins with a tag, when tags alternate, and when a last, empty turn protects the ending.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streaming_server.types import Speaker

NONVERBALS = frozenset(
    {"laughs", "clears throat", "sighs", "gasps", "coughs", "singing", "sings", "mumbles", "beep", "groans"}
    | {"sniffs", "claps", "screams", "inhales", "exhales", "applause", "burps", "humming", "sneezes"}
    | {"chuckle", "whistles"}
)
"""Sounds Dia makes when it reads them in parentheses; from the README of nari-labs/dia."""

_TAG = re.compile(r"\[\s*[sS]\s*([12])\s*\]")
_ASIDE = re.compile(r"\(([A-Za-z ]{1,20})\)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACES = re.compile(r"\s+")
_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s+")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of an utterance that fits one reading.

    start, end: code points into the utterance's text. script: with tags, without the protecting last one.
    then: whose turn it is at its end.
    """

    start: int
    end: int
    script: str
    then: Speaker


def repair(text: str, speaker: Speaker = "S1") -> str:
    """Text as Dia wants it: tags in upper case, first thing said under a tag, no tag twice in a row.

    Control characters become spaces, since two of them are the tags' own bytes. Text without anything to say
    comes back empty.
    """
    turns: list[tuple[str, str]] = []
    pieces = _TAG.split(_CONTROL.sub(" ", text))
    tags = [speaker[1], *pieces[1::2]]
    for tag, said in zip(tags, pieces[0::2], strict=True):
        said = _SPACES.sub(" ", _ASIDE.sub(_lower_nonverbal, said)).strip()
        if not said:
            continue
        if turns and turns[-1][0] == tag:
            turns[-1] = (tag, f"{turns[-1][1]} {said}")
        else:
            turns.append((tag, said))
    return " ".join(f"[S{tag}] {said}" for tag, said in turns)


def last_speaker(script: str, otherwise: Speaker) -> Speaker:
    """Whose turn it is at the end of a script."""
    tags = _TAG.findall(script)
    if not tags:
        return otherwise
    return "S1" if tags[-1] == "1" else "S2"


def compose(transcript: str, script: str) -> str:
    """The whole of what Dia reads: what the prompt says, what is to be said, and the protecting last tag."""
    whole = repair(f"{transcript} {script}", last_speaker(script[:4], "S1") if not transcript else "S1")
    protecting = "[S2]" if last_speaker(whole, "S1") == "S1" else "[S1]"
    return f"{whole} {protecting}"


def encode(script: str) -> bytes:
    """The ids the encoder sees, one byte each."""
    return script.encode().replace(b"[S1]", b"\x01").replace(b"[S2]", b"\x02")


def has_words(text: str) -> bool:
    """Whether there is anything to say; for a text without letters and digits Dia would make something up."""
    return bool(spoken_words(text, 0, len(text)))


def next_part(text: str, start: int, speaker: Speaker, limit: int) -> Part | None:
    """The next stretch from `start` on whose script has at most `limit` bytes; None when no word is left.

    speaker: whose turn it is at `start`. A part ends after a sentence where it can, else at a space, else
    between two characters, never inside a tag. No word is left out.
    """
    while start < len(text) and spoken_words(text, start, len(text)):
        end = _fitting_end(text, start, speaker, limit)
        then = last_speaker(text[start:end], speaker)
        if spoken_words(text, start, end):
            return Part(start, end, repair(text[start:end], speaker), then)
        start, speaker = end, then
    return None


def spoken_words(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Where the words of `text[start:end]` are, in code points of the whole text; tags are none."""
    hidden = [(tag.start(), tag.end()) for tag in _TAG.finditer(text, start, end)]
    words: list[tuple[int, int]] = []
    begin = start
    for stop, resume in [*hidden, (end, end)]:
        words.extend(word.span() for word in _WORD.finditer(text, begin, stop))
        begin = resume
    return [word for word in words if any(character.isalnum() for character in text[slice(*word)])]


def _lower_nonverbal(aside: re.Match[str]) -> str:
    lowered = aside[1].lower()
    return f"({lowered})" if lowered in NONVERBALS else aside[0]


def _fitting_end(text: str, start: int, speaker: Speaker, limit: int) -> int:
    def fits(end: int) -> bool:
        return len(encode(repair(text[start:end], speaker))) <= limit

    if fits(len(text)):
        return len(text)
    low, high = start + 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    reach = low
    for boundary in (_SENTENCE_END, _SPACES):
        ends = [match.end() for match in boundary.finditer(text, start, reach)]
        ends = [end for end in ends if start < end < reach and not _inside_tag(text, end)]
        if ends:
            return ends[-1]
    while reach > start + 1 and _inside_tag(text, reach):
        reach -= 1
    return reach


def _inside_tag(text: str, position: int) -> bool:
    around = _TAG.finditer(text, max(0, position - 12), min(len(text), position + 12))
    return any(tag.start() < position < tag.end() for tag in around)
