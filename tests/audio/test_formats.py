"""The names of formats in HTTP."""

from __future__ import annotations

from typing import get_args

from streaming_server.audio.formats import AudioFormat, content_type


def test_content_types() -> None:
    assert {one: content_type(one, 24000) for one in get_args(AudioFormat)} == {
        "wav": "audio/wav",
        "mp3": "audio/mpeg",
        "opus": "audio/ogg",
        "aac": "audio/aac",
        "flac": "audio/flac",
        "pcm": "audio/pcm;rate=24000;channels=1",
    }
