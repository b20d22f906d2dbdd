"""Speed and pitch change within a sentence, which stays one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from helpers.silences import longest_inside, silences
from helpers.spoken import drain, pcm

from streaming_server.engines.hibari.engine import HibariEngine
from streaming_server.engines.hibari.synthesis import SAMPLE_RATE
from streaming_server.types import BUILTIN_VOICES, Generation, ProsodySpan, Utterance, WordMark, Words

TEXT = "This is very important."
VERY = (8, 12)

IDS = count(1)


@pytest.fixture(scope="module")
def engine() -> Iterator[HibariEngine]:
    engine = HibariEngine()
    yield engine
    engine.close()


def spoken(
    engine: HibariEngine, *spans: ProsodySpan, text: str = TEXT, voice: int = 0, **options: float
) -> tuple[bytes, dict[str, WordMark]]:
    """Return the audio, and the marks by their words."""
    number = next(IDS)
    generation = Generation(**options)  # type: ignore[arg-type]
    said = Utterance(number, number, text, BUILTIN_VOICES[voice], generation, 0.0, prosody=spans)
    events = drain(engine, [said])
    marks = [mark for event in events if isinstance(event, Words) for mark in event.marks]
    return pcm(events, number), {text[mark.start : mark.end]: mark for mark in marks}


def length(mark: WordMark) -> int:
    return mark.end_sample - mark.start_sample


def pitch_of(audio: bytes, mark: WordMark) -> float:
    """Return the median fundamental frequency of a word in Hz, by autocorrelation."""
    samples = np.frombuffer(audio, "<i2").astype(float)[mark.start_sample : mark.end_sample]
    found = []
    for start in range(0, len(samples) - 1200, 300):
        window = samples[start : start + 1200] - samples[start : start + 1200].mean()
        likeness = np.correlate(window, window, "full")[1199:]
        best = 60 + int(np.argmax(likeness[60:400]))
        if likeness[best] > 0.5 * likeness[0]:
            found.append(SAMPLE_RATE / best)
    return float(np.median(found))


@pytest.mark.parametrize("voice", range(len(BUILTIN_VOICES)))
def test_emphasis_leaves_no_gap(engine: HibariEngine, voice: int) -> None:
    audio, marks = spoken(engine, ProsodySpan(*VERY, 0.92, 1.05), voice=voice)
    assert list(marks) == ["This", "is", "very", "important"]
    assert longest_inside(audio, SAMPLE_RATE) <= 60


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.92, 1.3, 2.0])
def test_only_the_words_of_a_span_change_their_speed(engine: HibariEngine, speed: float) -> None:
    _, plain = spoken(engine)
    audio, marks = spoken(engine, ProsodySpan(*VERY, speed, 1.0))
    frame = SAMPLE_RATE // 80
    assert length(marks["very"]) == pytest.approx(length(plain["very"]) / speed, abs=2 * frame)
    for word in ("This", "is", "important"):
        assert length(marks[word]) == pytest.approx(length(plain[word]), abs=2 * frame)
    assert marks["important"].start_sample == pytest.approx(marks["very"].end_sample, abs=2 * frame)
    sound_ends_ms = silences(audio, SAMPLE_RATE)[-1][0]
    assert marks["important"].end_sample * 1000 / SAMPLE_RATE <= sound_ends_ms


@pytest.mark.parametrize("pitch", [0.7, 1.3])
def test_only_the_words_of_a_span_change_their_pitch(engine: HibariEngine, pitch: float) -> None:
    plain, _ = spoken(engine)
    audio, marks = spoken(engine, ProsodySpan(*VERY, 1.0, pitch))
    assert len(audio) == len(plain)
    changes = {word: pitch_of(audio, mark) / pitch_of(plain, mark) for word, mark in marks.items()}
    assert changes["very"] == pytest.approx(pitch, rel=0.06)
    assert all(changes[word] == pytest.approx(1.0, rel=0.03) for word in ("This", "is", "important"))


def test_a_span_without_a_change_changes_nothing(engine: HibariEngine) -> None:
    assert spoken(engine, ProsodySpan(*VERY, 1.0, 1.0)) == spoken(engine)


def test_the_same_spans_are_the_same_bytes(engine: HibariEngine) -> None:
    spans = ProsodySpan(0, 4, 0.5, 1.2), ProsodySpan(*VERY, 1.5, 0.8)
    assert spoken(engine, *spans, pitch=1.1) == spoken(engine, *spans, pitch=1.1)


def test_spans_reach_into_later_sentences(engine: HibariEngine) -> None:
    text = f"{TEXT} {TEXT.replace('very', 'so')}"
    at = text.index("so ")
    _, plain = spoken(engine, text=text)
    _, marks = spoken(engine, ProsodySpan(at, at + 2, 0.5, 1.0), text=text)
    assert length(marks["so"]) == pytest.approx(2 * length(plain["so"]), abs=900)
    assert marks["very"] == plain["very"]
