"""The transcript of a voice sample: its source and whether it looks reliable."""

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
"""Written by a person, read from a `.reference.txt` or `.txt` beside the sample, or made by Whisper."""

PRECEDENCE: Final[tuple[Source, ...]] = ("manual", "reference", "txt", "whisper")
"""The sources, most trusted first."""

SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "empty": "The transcript is empty; write down what is said in the sample.",
        "no_speech": "No speech was heard in the sample; upload one in which somebody speaks.",
        "too_long": (
            "The transcript is too long to be spoken in the length of the sample; correct it, or upload the"
            " whole sample."
        ),
        "repeats": "The transcript repeats itself, as Whisper does when it fails; correct it.",
        "uncertain": "Whisper was uncertain; check the transcript, or upload a clearer sample.",
    }
)
"""The findings, by code, as sentences for users."""

NO_SPEECH_PROBABILITY = 0.6
MIN_LOGPROB = -1.0
MAX_COMPRESSION = 2.4
"""openai-whisper's own defaults of `no_speech_threshold`, `logprob_threshold` and
`compression_ratio_threshold`."""

LETTERS_PER_S = 30.0
CHARACTERS_PER_S = 12.0
"""Rates faster than any speaker: one and a half times the usual rate of a fast language.

About 6 syllables/s of 3 letters in alphabetic scripts, 8 syllables/s of one character in the others
(Pellegrino, Coupé and Marsico, "A cross-language perspective on speech information rate", 2011).
"""
SLACK_S = 0.25
"""Seconds by which a transcript may exceed its recording."""

_LOOP_TURNS = 4
"""Least number of repetitions in a loop."""
_LOOP_UNITS = 8
"""Least number of words, or characters, in a loop."""
_MAX_PERIOD = 40
"""Most words, or characters, in one repetition of a loop."""
_MIN_COMPRESSIBLE_BYTES = 80
"""Least length of a text to which the compression ratio applies."""
_EXAMINED_CHARS = 8192


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as Whisper reports it.

    start_s, end_s: seconds from the start of the sample. avg_logprob: natural logarithm, mean over its
    tokens. no_speech_prob: 0–1, of its 30 s window.
    """

    start_s: float
    end_s: float
    avg_logprob: float
    no_speech_prob: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript. findings: keys of SENTENCES, each a reason to doubt it.

    language: ISO 639 code, with its probability (0–1), if Whisper made the transcript.
    """

    text: str
    language: str | None
    language_probability: float | None
    source: Source
    findings: tuple[str, ...]

    @property
    def trustworthy(self) -> bool:
        """True if a voice can be cloned with it; see `may_condition`."""
        return may_condition(self.source, self.findings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The findings as sentences."""
        return tuple(SENTENCES[finding] for finding in self.findings)


def may_condition(source: Source | None, findings: Sequence[str]) -> bool:
    """Return whether a voice can be cloned with a transcript of this source with these findings.

    A transcript written by a person is used despite findings, unless it is empty.
    """
    return "empty" not in findings if source == "manual" else not findings


def written_transcript(text: str, source: Source, duration_s: float) -> Transcript:
    """Return a transcript that was written by a person, of a voice sample of that many seconds."""
    text = clean(text)
    return Transcript(text, None, None, source, findings(text, None, duration_s))


def whisper_transcript(
    text: str,
    segments: Sequence[Segment],
    duration_s: float,
    language: str | None,
    language_probability: float | None,
) -> Transcript:
    """Return a transcript made by Whisper, of a voice sample of that many seconds."""
    text = clean(text)
    return Transcript(text, language, language_probability, "whisper", findings(text, segments, duration_s))


def check_transcript(text: str, field: str) -> str:
    """Return a transcript cleaned to one line. Raise BadValue, naming the field, if it has no words."""
    said = clean(text)
    if not any(character.isalnum() for character in said):
        raise BadValue("must contain words.", field=field)
    return said


def sentence_of(finding: str) -> str:
    """Return the sentence for a finding. Reasons why transcription failed are sentences already."""
    return SENTENCES.get(finding, finding)


def clean(text: str) -> str:
    """Return the text as one line in NFC, with single spaces and no control or formatting characters."""
    kept = (
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFC", text)
        if character.isspace() or not (_is_invisible(character) or character == "\N{REPLACEMENT CHARACTER}")
    )
    return " ".join("".join(kept).split())


def _is_invisible(character: str) -> bool:
    """Return whether to drop a character. Zero-width joiners stay: they shape words in several scripts."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") and character not in "\u200c\u200d"


def findings(text: str, segments: Sequence[Segment] | None, duration_s: float) -> tuple[str, ...]:
    """Return the reasons to doubt that a cleaned text is what is said in `duration_s` seconds.

    segments: None for a text that is not Whisper's. Whisper omits windows without speech, so an empty
    sequence means that there is no speech.
    """
    found = []
    if segments is not None and all(_is_silence(segment) for segment in segments):
        found.append("no_speech")
    elif not any(character.isalnum() for character in text):
        found.append("empty")
    if _min_duration_s(text) > duration_s + SLACK_S:
        found.append("too_long")
    if _repeats(text):
        found.append("repeats")
    if segments and "no_speech" not in found and not _mean_logprob(segments) >= MIN_LOGPROB:
        found.append("uncertain")
    return tuple(found)


def _is_silence(segment: Segment) -> bool:
    """Return whether openai-whisper would skip the segment as silence."""
    return segment.no_speech_prob > NO_SPEECH_PROBABILITY and not segment.avg_logprob > MIN_LOGPROB


def _mean_logprob(segments: Sequence[Segment]) -> float:
    """Return the mean weighted by duration; NaN if any is NaN."""
    weights = [max(segment.end_s - segment.start_s, 0.02) for segment in segments]
    weighed = zip(segments, weights, strict=True)
    return math.fsum(segment.avg_logprob * weight for segment, weight in weighed) / math.fsum(weights)


def _min_duration_s(text: str) -> float:
    """Return the shortest time in which the text can be spoken."""
    spoken = [character for character in text if character.isalnum()]
    dense = sum(map(_is_dense, spoken))
    return dense / CHARACTERS_PER_S + (len(spoken) - dense) / LETTERS_PER_S


def _repeats(text: str) -> bool:
    """Return whether a loop makes up a third of the text, or the text compresses as only loops do."""
    text = text[:_EXAMINED_CHARS]
    units = _units(text)
    loop = max((_longest_loop(units, period) for period in range(1, _MAX_PERIOD + 1)), default=0)
    if loop >= _LOOP_UNITS and loop * 3 >= len(units):
        return True
    raw = text.encode("utf-8", "surrogatepass")
    return len(raw) >= _MIN_COMPRESSIBLE_BYTES and len(raw) / len(zlib.compress(raw)) > MAX_COMPRESSION


def _longest_loop(units: Sequence[str], period: int) -> int:
    """Return the length of the longest run that repeats the same `period` units at least four times."""
    longest = run = 0
    for earlier, later in zip(units, units[period:], strict=False):
        run = run + 1 if earlier == later else 0
        longest = max(longest, run)
    return longest + period if longest >= period * (_LOOP_TURNS - 1) else 0


def _units(text: str) -> list[str]:
    """Return the words without punctuation, or the characters in scripts without spaces."""
    units: list[str] = []
    for token in text.casefold().split():
        if any(map(_is_dense, token)):
            units.extend(filter(str.isalnum, token))
        elif word := "".join(filter(str.isalnum, token)):
            units.append(word)
    return units


def _is_dense(character: str) -> bool:
    """Return whether a character is of a script that writes syllables, and words without spaces.

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
