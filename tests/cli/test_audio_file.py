"""The file of speech that `say` writes."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from streaming_server.cli.audio_file import SpeechFile, speech_file
from streaming_server.errors import SpeechError


def write(speech: SpeechFile, sample: bytes, count: int, sample_rate: int) -> None:
    speech.begin(sample_rate)
    speech.write(sample * count)


def test_beginning_again_discards_what_was_written(tmp_path: Path) -> None:
    out = tmp_path / "speech.wav"
    with speech_file(out) as speech:
        write(speech, b"\1\0", 1000, 16000)
        write(speech, b"\2\0", 100, 8000)
        assert speech.seconds == 100 / 8000
        speech.finish()
    with wave.open(str(out)) as file:
        assert file.getframerate() == 8000
        assert file.readframes(2000) == b"\2\0" * 100


def test_a_file_that_cannot_be_replaced_is_reported(tmp_path: Path) -> None:
    out = tmp_path / "speech.wav"

    def speak() -> None:
        with speech_file(out) as speech:
            write(speech, b"\1\0", 1000, 16000)
            speech.finish()
            out.mkdir()

    with pytest.raises(SpeechError, match=f"--out {out}: Is a directory."):
        speak()
    assert list(tmp_path.iterdir()) == [out]
