"""A store of voices, and what goes into it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.databases import Place
from streaming_server.storage.objects import FolderObjects
from streaming_server.storage.voice_records import Metadata, StoredVoiceSample
from streaming_server.storage.voices import VoiceStore

PLAIN: Metadata = {
    "duration_s": 6.5,
    "sample_rate": 44100,
    "original_format": "mp3",
    "original_sample_rate": 48000,
    "channels": 2,
}


FULL: Metadata = {
    **PLAIN,
    "warnings": ("Longer than 10 s.", "«Ünïcode»"),
    "waveform": (0, 7, -3),
    "transcript": "Good morning.",
    "transcript_source": "whisper",
    "transcript_language": "en",
    "transcript_language_probability": 0.98,
    "transcript_findings": ("uncertain",),
    "mark": "9 bytes",
}


@contextmanager
def opened(place: Place) -> Iterator[VoiceStore]:
    with place.opened() as database:
        yield VoiceStore(database, FolderObjects(place.data / "prompts"), place.data / "tmp")


def written(store: VoiceStore, content: bytes) -> Path:
    path = store.new_temporary()
    path.write_bytes(content)
    return path


def put(store: VoiceStore, voice_sample_id: str, content: bytes = b"RIFF one") -> StoredVoiceSample:
    return store.put_voice_sample(voice_sample_id, written(store, content), **PLAIN)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def blob(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}.wav"
