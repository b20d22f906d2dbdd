"""The six voices are equally loud and distinct, and understood by Whisper at any pitch and speed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, count

import numpy as np
import pytest
from helpers.judge import TURNS, Judge, rate
from helpers.spoken import drain, pcm
from numpy.typing import NDArray

from streaming_server.audio.tempo import Tempo
from streaming_server.engines.hibari.engine import HibariEngine
from streaming_server.engines.hibari.synthesis import SAMPLE_RATE
from streaming_server.engines.hibari.voices import TIMBRES
from streaming_server.types import BUILTIN_VOICES, Generation, ProsodySpan, Utterance, Voice

pytestmark = pytest.mark.slow

IDS = count(1)
VOICES = tuple(BUILTIN_VOICES)
WORST = 0.05


@pytest.fixture(scope="module")
def engine() -> Iterator[HibariEngine]:
    engine = HibariEngine()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def recordings(engine: HibariEngine) -> dict[str, list[bytes]]:
    """Return every sentence in every voice."""
    return {voice.id: [spoken(engine, text, voice) for text in TURNS] for voice in VOICES}


def spoken(engine: HibariEngine, text: str, voice: Voice, **options: float) -> bytes:
    number = next(IDS)
    utterance = Utterance(number, number, text, voice, Generation(**options), 0.0)  # type: ignore[arg-type]
    return pcm(drain(engine, [utterance]), number)


def waveform(sounds: list[bytes]) -> NDArray[np.float64]:
    return np.frombuffer(b"".join(sounds), "<i2") / 32768


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pitch", [0.75, 1.3])
def test_pitch_leaves_speech_intelligible(engine: HibariEngine, judge: Judge, pitch: float) -> None:
    heard = [judge.errors(text, spoken(engine, text, VOICES[0], pitch=pitch), SAMPLE_RATE) for text in TURNS]
    assert rate(heard) <= WORST, heard


@pytest.mark.timeout(300)
@pytest.mark.parametrize("speed", [0.6, 1.5, 1.75, 2.0])
def test_speed_leaves_speech_intelligible(engine: HibariEngine, judge: Judge, speed: float) -> None:
    """The speed that the engine leaves is made by stretching, as in the server."""
    slowest, fastest = engine.info.speeds
    own = min(max(speed, slowest), fastest)
    heard = []
    for text in TURNS:
        sound = spoken(engine, text, VOICES[0], speed=own)
        if own != speed:
            tempo = Tempo(SAMPLE_RATE, speed / own)
            sound = tempo.push(sound) + tempo.finish()
        heard.append(judge.errors(text, sound, SAMPLE_RATE))
    assert rate(heard) <= WORST, heard


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("speed", "pitch"), [(0.5, 1.0), (0.85, 1.1), (1.3, 1.15)])
def test_words_of_another_prosody_are_intelligible(
    engine: HibariEngine, judge: Judge, speed: float, pitch: float
) -> None:
    """The words in the middle of each sentence."""
    heard = []
    for text in TURNS:
        number, words = next(IDS), text.split()
        start, end = (len(" ".join(words[: len(words) * third // 3])) + 1 for third in (1, 2))
        utterance = Utterance(
            number,
            number,
            text,
            VOICES[0],
            Generation(),
            0.0,
            prosody=(ProsodySpan(start, end, speed, pitch),),
        )
        heard.append(judge.errors(text, pcm(drain(engine, [utterance]), number), SAMPLE_RATE))
    assert rate(heard) <= WORST, heard


def test_all_voices_are_equally_loud_and_none_is_clipped(recordings: dict[str, list[bytes]]) -> None:
    meter = pytest.importorskip("pyloudnorm").Meter(SAMPLE_RATE)
    loudness = {voice: meter.integrated_loudness(waveform(sounds)) for voice, sounds in recordings.items()}
    assert max(loudness.values()) - min(loudness.values()) <= 1.0, loudness
    assert all(-24 < level < -18 for level in loudness.values()), loudness
    peaks = {voice: np.abs(waveform(sounds)).max() for voice, sounds in recordings.items()}
    assert max(peaks.values()) < 0.98, peaks


def test_voices_are_distinct(recordings: dict[str, list[bytes]]) -> None:
    """Any two differ by two semitones of pitch or 4 % in formant scale."""
    speech = {voice: waveform(sounds) for voice, sounds in recordings.items()}
    people = {voice: (pitch(sound), resonances(sound, speech["aria"])) for voice, sound in speech.items()}
    for (one, (f0, place)), (other, (other_f0, other_place)) in combinations(people.items(), 2):
        semitones = 12 * abs(np.log2(f0 / other_f0))
        assert semitones >= 2 or abs(place / other_place - 1) >= 0.04, (one, other, people)
    for voice, (_, place) in people.items():
        assert place == pytest.approx(TIMBRES[voice].warp, abs=0.03), people


def pitch(sound: NDArray[np.float64]) -> float:
    """Return the mean log f0 over voiced windows of 50 ms, by autocorrelation, in Hz."""
    size = SAMPLE_RATE // 20
    found = []
    for start in range(0, len(sound) - size, size):
        part = sound[start : start + size] - sound[start : start + size].mean()
        if np.sqrt(np.mean(part**2)) < 0.02:
            continue
        correlation = np.fft.irfft(np.abs(np.fft.rfft(part, 2 * size)) ** 2)[:size]
        low, high = SAMPLE_RATE // 500, SAMPLE_RATE // 60
        lag = low + int(np.argmax(correlation[low:high]))
        if correlation[lag] > 0.5 * correlation[0]:
            found.append(np.log(SAMPLE_RATE / lag))
    return float(np.exp(np.mean(found)))


def resonances(sound: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the factor by which the long-term spectrum is stretched relative to another."""
    spectrum, other = long_term_spectrum(sound), long_term_spectrum(reference)
    bins = np.arange(20, 400)

    def likeness(factor: float) -> float:
        stretched = np.interp(bins / factor, np.arange(len(other)), other)
        return float(np.corrcoef(stretched, spectrum[bins])[0, 1])

    return float(max(np.arange(0.75, 1.25, 0.01), key=likeness))


def long_term_spectrum(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log power in bins of 20 Hz, smoothed over 300 Hz."""
    windows = sound[: len(sound) // 1200 * 1200].reshape(-1, 1200) * np.hanning(1200)
    power = (np.abs(np.fft.rfft(windows, axis=1)) ** 2).mean(0)
    smooth: NDArray[np.float64] = np.log(np.convolve(power, np.ones(15) / 15, "same") + 1e-9)
    return smooth
