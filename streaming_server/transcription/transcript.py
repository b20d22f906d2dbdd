"""What is said in a sample, where that is known from, and whether to believe it."""

from __future__ import annotations

import math
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from streaming_server.errors import BadValue

Source = Literal["manual", "reference", "txt", "whisper"]
"""Given by a person, read from a `.reference.txt` or a `.txt` beside the sample, or heard by Whisper."""

BELIEF: Final[tuple[Source, ...]] = ("manual", "reference", "txt", "whisper")
"""The order in which transcripts of one sample are believed."""

SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "empty": "The transcript is empty: write down what is said in the sample.",
        "no_speech": "No speech was heard in the sample: upload one in which somebody speaks.",
        "too_long": (
            "The transcript is longer than anyone could say in the time the sample takes: correct it, or"
            " upload the sample whole."
        ),
        "repeats": "The transcript repeats itself as Whisper does when it is lost: correct it.",
        "uncertain": "Whisper was unsure of what it heard: check the transcript, or upload a clearer sample.",
    }
)
"""Every finding, as code and as what to tell a person."""

NO_SPEECH_PROBABILITY = 0.6
LEAST_LOGPROB = -1.0
MOST_COMPRESSION = 2.4
"""Where openai-whisper itself draws the line: its `no_speech_threshold`, `logprob_threshold` and
`compression_ratio_threshold`."""

LETTERS_PER_S = 30.0
CHARACTERS_PER_S = 12.0
"""Beyond what anyone speaks: half as much again as a fast language at its usual pace.

About 6 syllables/s of 3 letters where words are written in letters, 8 syllables/s of one character where
they are not (Pellegrino, Coupé and Marsico, "A cross-language perspective on speech information rate", 2011).
"""
SLACK_S = 0.25

_LOOP_TURNS = 4
_LOOP_UNITS = 8
_LONGEST_LOOP = 40
_LEAST_COMPRESSIBLE = 80
_EXAMINED = 8192


@dataclass(frozen=True, slots=True)
class Segment:
    """What Whisper tells of a piece of speech.

    start_s, end_s: seconds from the start of the sample. avg_logprob: natural logarithm, mean over its
    tokens. no_speech_prob: 0–1, of the 30 s window it was heard in.
    """

    start_s: float
    end_s: float
    avg_logprob: float
    no_speech_prob: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of a sample. findings: codes of SENTENCES, none if nothing speaks against it.

    language: ISO 639 code, with the probability (0–1) that Whisper gave it, where Whisper listened.
    """

    text: str
    language: str | None
    language_probability: float | None
    source: Source
    findings: tuple[str, ...]

    @property
    def trustworthy(self) -> bool:
        """Whether it may condition a voice; see `may_condition`."""
        return may_condition(self.source, self.findings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The findings, as sentences."""
        return tuple(SENTENCES[finding] for finding in self.findings)


def may_condition(source: Source | None, findings: Sequence[str]) -> bool:
    """Whether a transcript from there, with these findings, may condition a voice.

    A person may overrule every finding but that there is no text.
    """
    return "empty" not in findings if source == "manual" else not findings


def given(text: str, source: Source, duration_s: float) -> Transcript:
    """A transcript somebody wrote, for a sample of that many seconds."""
    text = clean(text)
    return Transcript(text, None, None, source, findings(text, None, duration_s))


def heard(
    text: str,
    segments: Sequence[Segment],
    duration_s: float,
    language: str | None,
    language_probability: float | None,
) -> Transcript:
    """A transcript by Whisper, for a sample of that many seconds."""
    text = clean(text)
    return Transcript(text, language, language_probability, "whisper", findings(text, segments, duration_s))


def check_said(text: str, field: str) -> str:
    """A transcript that a person wrote, on one line. Raises BadValue, which names the field."""
    said = clean(text)
    if not any(character.isalnum() for character in said):
        raise BadValue("there is nothing in it that could have been said.", field=field)
    return said


def sentence_of(finding: str) -> str:
    """What a finding tells a person. Why a sample could not be listened to is told as it was noted."""
    return SENTENCES.get(finding, finding)


def clean(text: str) -> str:
    """One line in NFC: no control or formatting characters, no broken ones, single spaces."""
    kept = (
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFC", text)
        if character.isspace() or not (_is_invisible(character) or character == "\N{REPLACEMENT CHARACTER}")
    )
    return " ".join("".join(kept).split())


def _is_invisible(character: str) -> bool:
    """Joiners shape words in several scripts, so they stay."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") and character not in "\u200c\u200d"


def findings(text: str, segments: Sequence[Segment] | None, duration_s: float) -> tuple[str, ...]:
    """What speaks against a cleaned text being what is said in `duration_s` seconds.

    segments: None for a text that Whisper did not hear. Whisper leaves out every window without speech,
    so no segments at all mean that nobody speaks.
    """
    found = []
    if segments is not None and all(_is_silence(segment) for segment in segments):
        found.append("no_speech")
    elif not any(character.isalnum() for character in text):
        found.append("empty")
    if _least_duration_s(text) > duration_s + SLACK_S:
        found.append("too_long")
    if _repeats(text):
        found.append("repeats")
    if segments and "no_speech" not in found and not _mean_logprob(segments) >= LEAST_LOGPROB:
        found.append("uncertain")
    return tuple(found)


def _is_silence(segment: Segment) -> bool:
    """As openai-whisper decides it: probably silence, and unsure of the words."""
    return segment.no_speech_prob > NO_SPEECH_PROBABILITY and not segment.avg_logprob > LEAST_LOGPROB


def _mean_logprob(segments: Sequence[Segment]) -> float:
    """Weighted by duration; NaN if the model gave any."""
    weights = [max(segment.end_s - segment.start_s, 0.02) for segment in segments]
    weighed = zip(segments, weights, strict=True)
    return math.fsum(segment.avg_logprob * weight for segment, weight in weighed) / math.fsum(weights)


def _least_duration_s(text: str) -> float:
    """The least time anyone needs to say it."""
    spoken = [character for character in text if character.isalnum()]
    dense = sum(map(_is_dense, spoken))
    return dense / CHARACTERS_PER_S + (len(spoken) - dense) / LETTERS_PER_S


def _repeats(text: str) -> bool:
    """Whether a loop takes up a third of it, or it compresses as only loops do."""
    text = text[:_EXAMINED]
    units = _units(text)
    loop = max((_longest_loop(units, period) for period in range(1, _LONGEST_LOOP + 1)), default=0)
    if loop >= _LOOP_UNITS and loop * 3 >= len(units):
        return True
    raw = text.encode("utf-8", "surrogatepass")
    return len(raw) >= _LEAST_COMPRESSIBLE and len(raw) / len(zlib.compress(raw)) > MOST_COMPRESSION


def _longest_loop(units: Sequence[str], period: int) -> int:
    """Units in the longest stretch that says the same `period` units at least four times over."""
    longest = run = 0
    for earlier, later in zip(units, units[period:], strict=False):
        run = run + 1 if earlier == later else 0
        longest = max(longest, run)
    return longest + period if longest >= period * (_LOOP_TURNS - 1) else 0


def _units(text: str) -> list[str]:
    """Words without their punctuation; characters where words are not set apart."""
    units: list[str] = []
    for token in text.casefold().split():
        if any(map(_is_dense, token)):
            units.extend(filter(str.isalnum, token))
        elif word := "".join(filter(str.isalnum, token)):
            units.append(word)
    return units


def _is_dense(character: str) -> bool:
    """Whether it is of a script that writes about a syllable in a character, and words without spaces.

    Thai to Myanmar, Khmer, kana and bopomofo, Han, Yi, Hangul syllables, and the planes of rarer Han.
    """
    code = ord(character)
    return (
        0x0E00 <= code <= 0x109F
        or 0x1780 <= code <= 0x17FF
        or 0x3040 <= code <= 0xA4CF
        or 0xAC00 <= code <= 0xD7A3
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x3FFFF
    )
