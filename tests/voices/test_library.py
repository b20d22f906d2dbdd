"""The recording and transcript that a voice is cloned from."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from helpers.object_store import ObjectStore
from helpers.postgres import Postgres

from streaming_server.storage.bucket import BucketObjects, open_bucket
from streaming_server.storage.postgresql import PostgresDatabase
from streaming_server.storage.voice_records import StoredVoice, StoredVoiceSample
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.transcript import SENTENCES
from streaming_server.types import Generation, VoiceSample
from streaming_server.voices.catalogue import Catalogue
from streaming_server.voices.library import (
    VoiceLibrary,
    entry_of,
    voice_sample_problem,
    voice_sample_warnings,
)

pytestmark = pytest.mark.anyio

VOICE = StoredVoice("mine", "Mine", primary_speaker="S2", voice_sample="sample")


@pytest.fixture
def sample(tmp_path: Path) -> StoredVoiceSample:
    """Return a voice sample with a reliable transcript by Whisper."""
    path = tmp_path / "sample.wav"
    path.write_bytes(b"RIFF")
    return StoredVoiceSample(
        id="sample",
        path=path,
        sha256="0" * 64,
        duration_s=6.0,
        sample_rate=44100,
        original_format="wav",
        original_sample_rate=44100,
        channels=1,
        warnings=(),
        waveform=(),
        transcript="What is said.",
        transcript_source="whisper",
        transcript_language="en",
        transcript_language_probability=0.9,
        transcript_findings=(),
        discovered_at="2026-01-01T00:00:00.000+00:00",
        mark=None,
    )


def voice_sample_of(voice: StoredVoice, sample: StoredVoiceSample) -> VoiceSample | None:
    return entry_of(voice, {sample.id: sample}).voice.voice_sample


def test_a_sample_with_a_reliable_transcript_conditions_its_voice(sample: StoredVoiceSample) -> None:
    assert voice_sample_of(VOICE, sample) == VoiceSample(str(sample.path), "What is said.")
    assert voice_sample_problem(VOICE, sample) is None


@pytest.mark.parametrize("finding", [*SENTENCES, "Whisper's process was ended by SIGKILL."])
@pytest.mark.parametrize("source", ["reference", "txt", "whisper"])
def test_an_unreliable_transcript_does_not_condition_a_voice(
    sample: StoredVoiceSample, finding: str, source: Any
) -> None:
    doubtful = replace(sample, transcript_findings=(finding,), transcript_source=source)
    assert voice_sample_of(VOICE, doubtful) is None
    assert voice_sample_problem(VOICE, doubtful) == SENTENCES.get(finding, finding)


def test_a_sample_without_a_transcript_does_not_condition_and_warns(sample: StoredVoiceSample) -> None:
    silent = replace(sample, transcript=None, transcript_source=None)
    assert voice_sample_of(VOICE, silent) is None
    assert "no transcript yet" in str(voice_sample_problem(VOICE, silent))
    failed = replace(silent, transcript_findings=("Whisper took too long to load.",))
    assert voice_sample_of(VOICE, failed) is None
    assert voice_sample_problem(VOICE, failed) == "Whisper took too long to load."


def test_a_written_transcript_is_used_whatever_its_findings(sample: StoredVoiceSample) -> None:
    written = replace(sample, transcript_source="manual", transcript_findings=("too_long",))
    assert voice_sample_of(VOICE, written) == VoiceSample(str(sample.path), "What is said.")


def test_the_voice_s_own_transcript_takes_precedence(sample: StoredVoiceSample) -> None:
    doubtful = replace(sample, transcript_findings=("repeats",))
    voice = replace(VOICE, transcript="What I say.")
    assert (
        voice_sample_of(voice, sample)
        == voice_sample_of(voice, doubtful)
        == VoiceSample(str(sample.path), "What I say.")
    )


def test_findings_on_the_voice_s_own_transcript_are_warnings(sample: StoredVoiceSample) -> None:
    """A person wrote the transcript, so it is used, but with warnings."""
    voice = replace(VOICE, transcript="Ho! " * 200)
    assert voice_sample_warnings(voice, sample) == [SENTENCES["too_long"], SENTENCES["repeats"]]
    assert voice_sample_of(voice, sample) is not None
    assert voice_sample_warnings(replace(VOICE, transcript="What I say."), sample) == []
    assert voice_sample_warnings(replace(voice, voice_sample=None), None) == []


def test_findings_on_a_written_transcript_are_warnings_of_the_voice(sample: StoredVoiceSample) -> None:
    written = replace(sample, transcript_source="manual", transcript_findings=("too_long",))
    assert voice_sample_warnings(VOICE, written) == [SENTENCES["too_long"]]
    assert voice_sample_warnings(VOICE, sample) == []
    doubtful = replace(sample, transcript_findings=("too_long",))
    assert voice_sample_warnings(VOICE, doubtful) == []  # It is not used; its problem tells the reason.


def test_a_missing_file_does_not_condition_a_voice(sample: StoredVoiceSample) -> None:
    sample.path.unlink()
    assert voice_sample_of(VOICE, sample) is None
    assert "upload it again" in str(voice_sample_problem(VOICE, sample))


def test_a_voice_without_a_sample_has_no_problem(sample: StoredVoiceSample) -> None:
    voice = replace(VOICE, voice_sample=None)
    assert voice_sample_of(voice, sample) is None
    assert voice_sample_problem(voice, sample) is None


def test_a_voice_s_settings_become_defaults(sample: StoredVoiceSample) -> None:
    voice = replace(VOICE, temperature=0.5, cfg_scale=2.0, top_p=0.9, seed=3, speed=1.5, preset="clone")
    entry = entry_of(voice, {sample.id: sample})
    assert entry.defaults == Generation(
        temperature=0.5, cfg_scale=2.0, top_p=0.9, seed=3, speed=1.5, preset="clone"
    )
    assert (entry.voice.id, entry.voice.primary_speaker) == ("mine", "S2")


async def test_the_copy_of_a_recording_that_another_server_deletes_is_deleted(
    postgres: Postgres, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in object_store.environment.items():
        monkeypatch.setenv(variable, value)
    bucket = open_bucket(object_store.new_bucket())
    with closing(PostgresDatabase(postgres.schema_url(), "test")) as database:

        def library(name: str) -> VoiceLibrary:
            recordings = BucketObjects(bucket, "prompts", tmp_path / name)
            store = VoiceStore(database, recordings, tmp_path / f"{name}-tmp")
            return VoiceLibrary(store, Catalogue(), lambda voices: None)

        here, elsewhere = library("here"), library("elsewhere")

        async def uploaded(identifier: str, content: bytes) -> StoredVoiceSample:
            wav = here.store.new_temporary()
            wav.write_bytes(content)
            stored = await to_thread.run_sync(
                lambda: here.store.put_voice_sample(
                    identifier,
                    wav,
                    duration_s=6.0,
                    sample_rate=44100,
                    original_format="wav",
                    original_sample_rate=44100,
                    channels=1,
                )
            )
            await elsewhere.refresh()
            return stored

        kept, gone = await uploaded("kept", b"one"), await uploaded("gone", b"two")
        copies = tmp_path / "elsewhere"
        assert {file.name for file in copies.iterdir()} == {kept.path.name, gone.path.name}
        await here.delete_voice_sample("gone")
        await elsewhere.refresh()
        assert [file.name for file in copies.iterdir()] == [kept.path.name]
        await uploaded("again", b"two")
        assert {file.name for file in copies.iterdir()} == {kept.path.name, gone.path.name}
