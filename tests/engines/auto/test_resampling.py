"""Resampled speech is the same every time."""

from __future__ import annotations

import numpy as np

from streaming_server.engines.auto.resampling import EventResampler
from streaming_server.types import Audio, Finished

PIECES = (11272, 44336, 66200, 22051)
"""Samples of each piece. The third is long enough for soxr to need more memory."""


def resampled(speech: list[bytes]) -> bytes:
    resampler = EventResampler(22050, 24000)
    events = [event for pcm in speech for event in resampler.convert(Audio(1, pcm))]
    events += resampler.convert(Finished(1, 0.0))
    return b"".join(event.pcm for event in events if isinstance(event, Audio))


def test_the_same_speech_is_resampled_to_the_same_bytes() -> None:
    generator = np.random.default_rng(1)
    speech = [(4000 * generator.standard_normal(size)).astype("<i2").tobytes() for size in PIECES]
    first = resampled(speech)
    assert len(first) // 2 == round(sum(PIECES) * 24000 / 22050)
    for _ in range(60):
        held = [bytearray(int(size)) for size in generator.integers(1, 200_000, 4)]
        assert resampled(speech) == first
        del held


def test_loud_speech_does_not_wrap_around() -> None:
    square = np.where(np.arange(22050) // 50 % 2, 32767, -32768).astype("<i2").tobytes()
    heard = np.frombuffer(resampled([square]), "<i2").astype(int)
    assert (heard.max(), heard.min()) == (32767, -32768)
