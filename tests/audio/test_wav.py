"""WAV headers."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
import soundfile

from streaming_server.audio.frames import FrameEncoder
from streaming_server.audio.wav import wav_header
from streaming_server.types import ENCODINGS, Encoding


def noise(samples: int) -> bytes:
    drawn = np.random.default_rng(0).normal(0, 8000, samples)
    return drawn.clip(-32768, 32767).astype("<i2").tobytes()


def test_a_file_of_known_length_is_read_back() -> None:
    pcm = noise(1000)
    with wave.open(io.BytesIO(wav_header(22050, 1000) + pcm)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (22050, 1, 2)
        assert reader.getnframes() == 1000
        assert reader.readframes(1000) == pcm


def test_the_header_is_what_python_writes() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 24000, 0, "NONE", "not compressed"))
        writer.writeframes(noise(500))
    assert wav_header(24000, 500) == file.getvalue()[:44]


def test_a_stream_of_unknown_length_is_read_to_its_end() -> None:
    pcm = noise(1000)
    stream = wav_header(24000) + pcm
    with wave.open(io.BytesIO(stream)) as reader:
        assert reader.readframes(10**6) == pcm
    heard, rate = soundfile.read(io.BytesIO(stream), dtype="int16")
    assert rate == 24000
    assert heard.tobytes() == pcm


def test_more_than_a_file_can_hold_is_a_stream_of_unknown_length() -> None:
    assert wav_header(48000, 2**31 - 18) == wav_header(48000)
    assert wav_header(48000, 2**31 - 19) != wav_header(48000)


@pytest.mark.parametrize("encoding", sorted(set(ENCODINGS) - {"pcm_s16le"}))
def test_a_file_without_audio_says_so(encoding: Encoding) -> None:
    header = wav_header(22050, 0, encoding)
    fact = header.index(b"fact")
    assert header[fact + 8 : fact + 12] == bytes(4)
    assert header.endswith(b"data" + bytes(4))


@pytest.mark.parametrize("samples", [None, 1000])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_read_back(encoding: Encoding, samples: int | None) -> None:
    pcm = noise(1000)
    [frame] = FrameEncoder(22050, 22050, encoding).push(pcm)
    file = wav_header(22050, samples, encoding) + frame.data
    heard, rate = soundfile.read(io.BytesIO(file), dtype="float32")
    assert (rate, len(heard)) == (22050, 1000)
    sent = np.frombuffer(pcm, "<i2") / 32768
    np.testing.assert_allclose(heard, sent, atol=0.02 if "law" in encoding else 1 / 32768)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_length_of_a_header_depends_on_the_encoding_alone(encoding: Encoding) -> None:
    lengths = {len(wav_header(rate, samples, encoding)) for rate in (8000, 48000) for samples in (None, 0, 9)}
    assert lengths == {44 if encoding == "pcm_s16le" else 58}
