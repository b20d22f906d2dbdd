"""Discovery of voice samples: which files are added, rejected or ignored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
from helpers.databases import Place
from helpers.rest import metadata_of, recording, to, upload
from helpers.servers import Server, running_server
from structlog.testing import capture_logs

from streaming_server.storage.objects import FolderObjects
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.client import Transcription
from streaming_server.voice_samples.decoder import SampleDecoder
from streaming_server.voice_samples.discovery import Discovery
from streaming_server.voice_samples.ingest import VoiceSampleIngest
from streaming_server.voice_samples.transcription_queue import TranscriptionQueue
from streaming_server.voices.catalogue import Catalogue
from streaming_server.voices.library import VoiceLibrary


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server without transcription, with an empty samples directory."""
    folder = tmp_path_factory.mktemp("searching")
    (folder / "samples").mkdir()
    with running_server(folder / "log", "--max-workers=1", f"--samples-dir={folder / 'samples'}") as server:
        with to(server) as client:
            client.put("/config", json=client.get("/config").json() | {"auto_transcribe": False})
        yield server


@pytest.fixture
def client(searching: Server) -> Iterator[httpx.Client]:
    with to(searching) as one:
        yield one


@pytest.fixture
def samples(searching: Server) -> Iterator[Path]:
    folder = searching.log.parent / "samples"
    yield folder
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()


def discovered(client: httpx.Client) -> dict[str, Any]:
    answer = client.post("/audio_prompts/discover")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def write(file: Path, seconds: float, hertz: float = 220.0) -> None:
    """Write a voice sample in the format of the file name."""
    source = file.with_suffix(".source")
    source.write_bytes(recording(seconds, hertz))
    sound, rate = soundfile.read(source)
    source.unlink()
    soundfile.write(file, sound, rate)


def test_the_second_of_two_files_with_the_same_stem_is_rejected(client: httpx.Client, samples: Path) -> None:
    write(samples / "twice.mp3", 3.0)
    write(samples / "twice.wav", 4.0)
    told = discovered(client)
    assert told["discovered"] == ["twice"]
    assert told["refused"].keys() == {"twice.wav"}
    assert "twice.mp3 is the sample of this name" in told["refused"]["twice.wav"]
    taken = metadata_of(client, "twice")
    assert taken["original_format"] == "mp3"
    assert discovered(client) == told | {"discovered": [], "message": "0 samples were added, 1 refused."}
    assert metadata_of(client, "twice") == taken


def test_the_file_already_stored_takes_precedence(client: httpx.Client, samples: Path) -> None:
    write(samples / "known.wav", 4.0)
    assert discovered(client)["discovered"] == ["known"]
    write(samples / "known.flac", 3.0)
    told = discovered(client)
    assert (told["discovered"], list(told["refused"])) == ([], ["known.flac"])
    (samples / "known.wav").unlink()
    told = discovered(client)
    assert (told["discovered"], told["refused"]) == (["known"], {})
    assert metadata_of(client, "known")["original_format"] == "flac"


def test_the_second_file_is_used_if_the_first_is_not_audio(client: httpx.Client, samples: Path) -> None:
    (samples / "spare.flac").write_bytes(b"nothing")
    write(samples / "spare.wav", 3.0)
    told = discovered(client)
    assert (told["discovered"], list(told["refused"])) == (["spare"], ["spare.flac"])
    assert "not a recording" in told["refused"]["spare.flac"]


def test_a_changed_recording_keeps_the_voices_own_transcript(client: httpx.Client, samples: Path) -> None:
    write(samples / "own.wav", 3.0)
    discovered(client)
    voice = {"voice_id": "own", "audio_prompt": "own", "audio_prompt_transcript": "What I say."}
    assert client.post("/voice_mappings", json=voice).status_code == 200
    os.utime(samples / "own.wav", (1e9, 1e9))
    assert discovered(client)["discovered"] == ["own"]  # The same recording, written once more.
    before = metadata_of(client, "own")

    write(samples / "own.wav", 4.0, 330.0)
    told = discovered(client)
    assert told["discovered"] == []
    assert "the voice own got a transcript" in told["refused"]["own.wav"]
    assert metadata_of(client, "own") == before
    assert client.get("/voice_mappings").json()["own"]["audio_prompt_transcript"] == "What I say."

    client.put("/voice_mappings/own", json={"audio_prompt_transcript": None})
    assert discovered(client)["discovered"] == ["own"]
    assert metadata_of(client, "own")["duration"] == 4.0


def test_entries_that_are_not_files_are_ignored(client: httpx.Client, samples: Path) -> None:
    (samples / "folder.wav").mkdir()
    (samples / "nowhere.wav").symlink_to(samples / "gone")
    os.mkfifo(samples / "pipe.wav")
    write(samples / "folder.mp3", 3.0)
    (samples / "folder.txt").mkdir()
    try:
        told = discovered(client)
        assert (told["discovered"], told["refused"]) == (["folder"], {})
    finally:
        for name in ("nowhere.wav", "pipe.wav"):
            (samples / name).unlink()
        for name in ("folder.wav", "folder.txt"):
            (samples / name).rmdir()


def test_an_upload_replaces_a_discovered_sample(client: httpx.Client, samples: Path) -> None:
    write(samples / "sent.wav", 3.0)
    discovered(client)
    upload(client, "sent", recording(5.0))
    write(samples / "sent.mp3", 4.0)
    os.utime(samples / "sent.mp3", (1e9, 1e9))
    assert discovered(client)["discovered"] == []
    assert metadata_of(client, "sent")["duration"] == 5.0


def test_a_file_name_that_is_not_utf_8_is_refused_alone(client: httpx.Client, samples: Path) -> None:
    write(samples / "beside.wav", 3.0)
    for ending in ("wav", "flac"):
        (samples / os.fsdecode(b"caf\xe9")).with_suffix(f".{ending}").write_bytes(b"RIFF")
    told = discovered(client)
    assert told["discovered"] == ["beside"]
    assert told["refused"].keys() == {"caf\ufffd.wav", "caf\ufffd.flac"}


@pytest.mark.anyio
async def test_an_unreadable_directory_does_not_end_the_server(tmp_path: Path) -> None:
    """The system rejects the name, as it rejects every name on a failing disk."""
    with Place(tmp_path).opened() as database:
        library = VoiceLibrary(
            VoiceStore(database, FolderObjects(tmp_path / "prompts"), tmp_path / "tmp"),
            Catalogue(),
            lambda voices: None,
        )
        transcription = Transcription("base", lambda: "cpu")
        discovery = Discovery(
            tmp_path / ("a" * 300),
            VoiceSampleIngest(SampleDecoder(), library.store),
            library,
            TranscriptionQueue(transcription, library, lambda: False),
            must_exist=True,
        )
        with capture_logs() as logged:
            await discovery.discover_at_start()
    assert [entry["event"] for entry in logged] == ["cannot discover voice samples"]
    assert "File name too long" in logged[0]["reason"]
