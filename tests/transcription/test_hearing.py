"""Voice samples are really heard: Whisper's own weights transcribe a sample spoken by the natural voice."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from helpers import whisper_weights
from helpers.judge import SENTENCES, normal_words, word_errors
from helpers.rest import metadata_of
from helpers.servers import Server, running_server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

HEARING_S = 120.0
"""Timeout for loading PyTorch and listening, on a busy machine."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hearing")
    checkpoint = whisper_weights.make(folder / "tiny.en.pt")
    with running_server(
        folder / "log", "--engine=auto", "--max-workers=1", f"--whisper-model={checkpoint}"
    ) as server:
        yield server


@pytest.mark.parametrize("voice", ["aria", "atlas"])
def test_a_sample_of_the_natural_voice_is_heard(server: Server, voice: str) -> None:
    text = " ".join(SENTENCES[:4])
    with httpx.Client(base_url=server.url, timeout=60) as client:
        spoken = client.post("/generate", json={"text": text, "voice_id": voice, "response_format": "wav"})
        assert spoken.status_code == 200, spoken.text
        files = {"audio_file": ("sample.wav", spoken.content, "audio/wav")}
        sent = client.post("/audio_prompts/upload", files=files, data={"prompt_id": voice})
        assert sent.status_code == 200, sent.text

        def heard() -> str | None:
            found = metadata_of(client, voice)
            assert not found["transcript_findings"], found
            transcript: str | None = found["transcript"]
            return transcript

        transcript = until(heard, HEARING_S)
        found = metadata_of(client, voice)
    expected = normal_words(text)
    assert word_errors(expected, normal_words(transcript)) <= 0.1 * len(expected), transcript
    assert (found["transcript_source"], found["language"]) == ("whisper", "en")
