"""The built-in voices, pitch and pace."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest
from helpers.espeak import Speaker, voice_named

from streaming_server.engines.espeak.variants import DataFolder
from streaming_server.engines.espeak.voices import TIMBRES, parameters_for
from streaming_server.types import BUILTIN_VOICES

SENTENCE = "This is a long sentence, with words, that a voice should speak at a chosen pace."


REPEATED = {
    "en": "Good morning, how are you today?",
    "ru": "Сегодня хорошая погода, и мы идём гулять в парк.",
    "pl": "Dzień dobry, jak się masz dzisiaj?",
    "es": "El perro corre rápido por la carretera.",
    "ar": "صباح الخير كيف حالك اليوم",
    "it": "Buongiorno, come sta oggi? Arrivederci.",
    "el": "Καλημέρα σας, περάστε.",
    "cs": "Dobrý den, řeka teče.",
    "nl": "Goedemorgen, hoe gaat het met u?",
}

DIRECT = r"""
import ctypes, sys
import espeakng_loader
voice, rate, gap, volume, pitch, inflection = sys.argv[2], *map(int, sys.argv[3:8])
lib = ctypes.CDLL(espeakng_loader.get_library_path())
lib.espeak_Initialize(2, 60, sys.argv[1].encode(), 0x8000)
def said(wave, samples, events):
    if wave and samples:
        sys.stdout.buffer.write(ctypes.string_at(wave, 2 * samples))
    return 0
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(said)
lib.espeak_SetSynthCallback(callback)
assert lib.espeak_SetVoiceByName(voice.encode()) == 0
for parameter, value in ((1, rate), (2, volume), (3, pitch), (4, inflection), (7, gap)):
    lib.espeak_SetParameter(parameter, value, 0)
for text in sys.argv[8:]:
    data = text.encode() + b"\0"
    lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
    lib.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, 0x1001, None, None)
"""


def directly(texts: list[str], voice: str, *parameters: int) -> bytes:
    """Return the library's own audio. Parameters: rate, gap, volume, pitch, inflection."""
    numbers = [str(number) for number in parameters]
    data = DataFolder(Path(espeakng_loader.get_data_path()))
    command = [sys.executable, "-c", DIRECT, str(data.path), voice, *numbers, *texts]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_audio_equals_the_librarys_sample_for_sample(speaker: Speaker) -> None:
    texts = [SENTENCE, "It has 42 parts, and costs 3.50 — truly.", "One. Two? Three!"]
    spoken = b"".join(speaker.pcm(text) for text in texts)
    assert spoken == directly(texts, "en-us+aria", 165, 0, 70, 50, 50)


@pytest.mark.parametrize("voice", TIMBRES)
@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_every_voice_and_speed_equals_the_librarys_audio(speaker: Speaker, voice: str, speed: float) -> None:
    parameters = parameters_for(voice_named(voice), "en-us", speed)
    expected = directly([SENTENCE], *astuple(parameters))
    assert speaker.pcm(SENTENCE, voice, speed=speed) == expected


def test_the_same_text_sounds_the_same_after_other_texts(speaker: Speaker) -> None:
    for voice in TIMBRES:
        first = speaker.pcm(SENTENCE, voice)
        speaker.pcm("Something else, in between.", "atlas", speed=1.3)
        speaker.pcm("Noch etwas anderes.", "kai", language="de")
        assert speaker.pcm(SENTENCE, voice) == first


@pytest.mark.parametrize("language", REPEATED)
def test_every_language_sounds_the_same_after_any_other(speaker: Speaker, language: str) -> None:
    """Those with a trilled r did not: the library damps some of its cycles, counted from the first ever."""
    text = REPEATED[language]
    first = speaker.pcm(text, language=language)
    assert first
    for between in REPEATED:
        speaker.pcm(REPEATED[between], "luna", language=between)
        assert speaker.pcm(text, language=language) == first, between


def test_women_have_higher_voices_than_men(speaker: Speaker) -> None:
    pitches = {voice: median_pitch(speaker.pcm(SENTENCE, voice)) for voice in TIMBRES}
    women, men = {"aria", "luna", "zara", "nova"}, {"atlas", "kai"}
    assert min(pitches[voice] for voice in women) > 1.2 * max(pitches[voice] for voice in men), pitches
    assert min(pitches[voice] for voice in women) > 145, pitches


def test_builtin_voices_have_different_timbres(speaker: Speaker) -> None:
    assert set(TIMBRES) == {voice.id for voice in BUILTIN_VOICES}
    heard = {voice: speaker.pcm(SENTENCE, voice) for voice in TIMBRES}
    assert len(set(heard.values())) == len(TIMBRES)
    pitches = sorted(median_pitch(pcm) for pcm in heard.values())
    assert all(later > 1.04 * earlier for earlier, later in pairwise(pitches)), pitches


def median_pitch(pcm: bytes) -> float:
    """Hz, by autocorrelation of the loud windows."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    found = []
    for start in range(0, len(samples) - 1024, 512):
        window = samples[start : start + 1024] - samples[start : start + 1024].mean()
        if window.std() > 1000:
            similarity = np.correlate(window, window, "full")[1023:]
            lag = 55 + int(np.argmax(similarity[55:400]))
            found.append(22050 / lag)
    return float(np.median(found))


@pytest.mark.parametrize("pitch", [0.8, 1.25])
def test_pitch_is_relative_to_the_voices_own(speaker: Speaker, pitch: float) -> None:
    own = median_pitch(speaker.pcm(SENTENCE))
    assert median_pitch(speaker.pcm(SENTENCE, pitch=pitch)) == pytest.approx(own * pitch, rel=0.08)


def test_pitch_is_clamped_to_the_librarys_scale(speaker: Speaker) -> None:
    assert parameters_for(voice_named("luna"), "en-us", pitch=2.0).pitch == 99
    assert parameters_for(voice_named("zara"), "en-us", pitch=0.5).pitch == 0


def test_higher_speed_shortens_the_speech(speaker: Speaker) -> None:
    speeds = [0.25, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 2.6, 3.0, 4.0]
    for voice in TIMBRES:
        lengths = [len(speaker.pcm(SENTENCE, voice, speed=speed)) for speed in speeds]
        assert lengths == sorted(lengths, reverse=True)
        assert len(set(lengths)) == len(lengths)
        for speed, length in zip(speeds, lengths, strict=True):
            assert length * speed / lengths[4] == pytest.approx(1.0, abs=0.2)
