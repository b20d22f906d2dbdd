"""Voice samples are really heard: Whisper's own weights transcribe samples that the server has spoken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers import whisper_weights
from helpers.judge import SENTENCES, normal_words, word_errors
from helpers.rest import metadata_of
from helpers.servers import Server, running_server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

HEARING_S = 120.0
"""Timeout for loading PyTorch and listening, on a busy machine."""


ENGLISH = " ".join(SENTENCES[:3])
GERMAN = (
    "Der Zug nach Hamburg fährt heute von Gleis sieben ab, und er hat leider zehn Minuten Verspätung. "
    "Möchten Sie noch einen Kaffee trinken?"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that hears English only."""
    with hearing(tmp_path_factory.mktemp("english"), "tiny.en") as server:
        yield server


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with hearing(tmp_path_factory.mktemp("multilingual"), "base") as server:
        yield server


@contextmanager
def hearing(folder: Path, model: whisper_weights.Model) -> Iterator[Server]:
    checkpoint = whisper_weights.make(folder / f"{model}.pt", model)
    options = "--engine=auto", "--max-workers=1", f"--whisper-model={checkpoint}"
    with running_server(folder / "log", *options) as server:
        yield server


def transcribed(server: Server, text: str, name: str, **options: str) -> dict[str, Any]:
    """Have a text spoken, upload that as a voice sample, and return its metadata once it is transcribed."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        body = {"text": text, "response_format": "wav", **options}
        spoken = client.post("/generate", json=body)
        assert spoken.status_code == 200, spoken.text
        files = {"audio_file": (f"{name}.wav", spoken.content, "audio/wav")}
        sent = client.post("/audio_prompts/upload", files=files, data={"prompt_id": name})
        assert sent.status_code == 200, sent.text

        def heard() -> dict[str, Any] | None:
            found = metadata_of(client, name)
            return found if found["transcript"] or found["transcript_findings"] else None

        found: dict[str, Any] = until(heard, HEARING_S)
        return found


@pytest.mark.parametrize("voice", ["aria", "atlas"])
def test_a_sample_of_the_natural_voice_is_heard(server: Server, voice: str) -> None:
    found = transcribed(server, ENGLISH, voice, voice_id=voice)
    assert word_error_rate(ENGLISH, found) <= 0.1, found
    assert (found["transcript_source"], found["language"]) == ("whisper", "en")


def test_german_is_not_taken_for_english(multilingual: Server) -> None:
    found = transcribed(multilingual, GERMAN, "german", voice_id="aria", language="de")
    assert found["language"] == "de", found
    assert not found["transcript_findings"], found


def word_error_rate(text: str, found: dict[str, Any]) -> float:
    assert not found["transcript_findings"], found
    expected = normal_words(text)
    return word_errors(expected, normal_words(found["transcript"])) / len(expected)
