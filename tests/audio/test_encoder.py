"""Utterances are encoded one after the other, each at its own tempo."""

from __future__ import annotations

from threading import get_ident

import numpy as np
import pytest
from anyio import CapacityLimiter

from streaming_server.audio.encoder import AudioOptions, SpeechEncoder
from streaming_server.audio.frames import Frame
from streaming_server.audio.tempo import Tempo
from streaming_server.types import FLOW_WINDOW

pytestmark = pytest.mark.anyio

RATE = 24000
SPEEDS = (1.0, 1.5, 0.5, 1.0, 3.0, 1.0)


def tone(samples: int) -> bytes:
    wave = 8000 * np.sin(np.arange(samples) * 2 * np.pi * 220 / RATE)
    return wave.astype("<i2").tobytes()


def encoder_for(sample_rate: int | None = None) -> SpeechEncoder:
    return SpeechEncoder(RATE, AudioOptions(sample_rate=sample_rate), threads=CapacityLimiter(1))


async def utterance(encoder: SpeechEncoder, pcm: bytes, speed: float, size: int) -> list[Frame]:
    """Encode an utterance in pieces of so many bytes."""
    encoder.set_speed(speed)
    frames: list[Frame] = []
    for at in range(0, len(pcm), size):
        frames += await encoder.push(pcm[at : at + size])
    return [*frames, *await encoder.end_utterance()]


def stretched(pcm: bytes, speed: float) -> bytes:
    tempo = Tempo(RATE, speed)
    return tempo.push(pcm) + tempo.finish()


@pytest.mark.parametrize("size", [480, 7000])
async def test_each_utterance_has_its_own_tempo(size: int) -> None:
    encoder = encoder_for()
    for number, speed in enumerate(SPEEDS):
        pcm = tone(9000 + number)
        frames = await utterance(encoder, pcm, speed, size)
        assert b"".join(frame.data for frame in frames) == stretched(pcm, speed)


@pytest.mark.parametrize("sample_rate", [RATE, 16000, 22050])
async def test_places_go_on_where_the_tempo_changes(sample_rate: int) -> None:
    encoder = encoder_for(sample_rate)
    for number, speed in enumerate(SPEEDS):
        samples = 9000 + number
        start = encoder.position
        encoder.set_speed(speed)
        assert encoder.at(0) == start
        expected = samples * sample_rate / RATE / speed
        middle, end = encoder.at(samples // 2), encoder.at(samples)
        assert abs(middle - start - expected / 2) <= 2
        assert abs(end - start - expected) <= 2
        for frame in await utterance(encoder, tone(samples), speed, 480):
            assert frame.first_sample == start
            start += frame.samples
        assert start == end == encoder.position


async def test_ffmpeg_is_not_imported_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    class Noted(Tempo):
        def __init__(self, sample_rate: int, speed: float) -> None:
            threads.append(get_ident())
            super().__init__(sample_rate, speed)

    monkeypatch.setattr("streaming_server.audio.encoder.Tempo", Noted)
    await utterance(encoder_for(), tone(9000), 1.5, 480)
    assert threads
    assert get_ident() not in threads


def test_less_waits_beside_encoders_that_take_much_memory() -> None:
    windows = [AudioOptions(format=form).window for form in ("pcm", "mp3", "opus", "aac")]
    assert windows == [FLOW_WINDOW, FLOW_WINDOW, FLOW_WINDOW // 2, FLOW_WINDOW // 4]
