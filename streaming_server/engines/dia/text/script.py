"""Turn written text into the script Dia reads, and the script into bytes. Pure functions.

Dia reads UTF-8 bytes; the tags `[S1]` and `[S2]` are the single bytes 1 and 2. It speaks best when a
script begins with a tag, tags alternate, and a final empty turn protects the ending.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streaming_server.text.nonverbals import NONVERBALS
from streaming_server.types import Speaker

_TAG = re.compile(r"\[\s*[sS]\s*([12])\s*\]")
_ASIDE = re.compile(r"\(([A-Za-z ]{1,20})\)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACES = re.compile(r"\s+")
_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s+")


@dataclass(frozen=True, slots=True)
class ScriptSegment:
    """A stretch of an utterance that fits into the encoder.

    start, end: code points into the utterance's text. script: with tags, without the final protecting tag.
    then: the speaker at its end.
    """

    start: int
    end: int
    script: str
    then: Speaker


def normalize_script(text: str, speaker: Speaker = "S1") -> str:
    """Normalize text: upper-case tags, a tag before the first words, no tag twice in a row.

    Control characters become spaces, since two of them are the bytes of the tags. Text without words
    becomes empty.
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
    """Return the speaker at the end of a script."""
    tags = _TAG.findall(script)
    if not tags:
        return otherwise
    return "S1" if tags[-1] == "1" else "S2"


def build_script(transcript: str, script: str) -> str:
    """Return everything Dia reads: the prompt's transcript, the text, and the final protecting tag."""
    whole = normalize_script(
        f"{transcript} {script}", last_speaker(script[:4], "S1") if not transcript else "S1"
    )
    protecting = "[S2]" if last_speaker(whole, "S1") == "S1" else "[S1]"
    return f"{whole} {protecting}"


def encode_script(script: str) -> bytes:
    """Return the encoder's ids, one byte each."""
    return script.encode().replace(b"[S1]", b"\x01").replace(b"[S2]", b"\x02")


def is_speakable(text: str) -> bool:
    """Return whether text contains words. For text without letters or digits Dia would invent speech."""
    return bool(spoken_words(text, 0, len(text)))


def next_segment(text: str, start: int, speaker: Speaker, limit: int) -> ScriptSegment | None:
    """Return the next segment from `start` whose script has at most `limit` bytes; None when no word is left.

    speaker: the speaker at `start`. A segment ends after a sentence if possible, else at a space, else
    between two characters, never inside a tag. No word is skipped.
    """
    while start < len(text) and spoken_words(text, start, len(text)):
        end = _fitting_end(text, start, speaker, limit)
        then = last_speaker(text[start:end], speaker)
        if spoken_words(text, start, end):
            return ScriptSegment(start, end, normalize_script(text[start:end], speaker), then)
        start, speaker = end, then
    return None


def spoken_words(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the spans of the words in `text[start:end]`, in code points of the whole text, without tags."""
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
        return len(encode_script(normalize_script(text[start:end], speaker))) <= limit

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
