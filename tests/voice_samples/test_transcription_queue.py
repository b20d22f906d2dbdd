"""Voice samples are transcribed in the background, by a real Whisper with pinned weights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import numpy as np
import pytest
import soundfile
from anyio import to_thread
from helpers import whisper_checkpoint
from helpers.databases import Place
from helpers.object_store import ObjectStore
from helpers.postgres import Postgres

from streaming_server.errors import Unavailable
from streaming_server.storage.bucket import BucketObjects, open_bucket
from streaming_server.storage.database import Database
from streaming_server.storage.leases import Leases
from streaming_server.storage.objects import FolderObjects, Objects
from streaming_server.storage.voice_records import StoredVoiceSample
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.client import Transcription
from streaming_server.transcription.transcript import Transcript, written_transcript
from streaming_server.voice_samples.transcription_queue import TranscriptionQueue
from streaming_server.voices.catalogue import Catalogue
from streaming_server.voices.library import VoiceLibrary

pytestmark = pytest.mark.anyio

SAID = "Guten Morgen, das ist eine Probe."


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that transcribes everything as SAID, in German."""
    return whisper_checkpoint.make(tmp_path_factory.mktemp("whisper") / "pinned.pt", say=SAID, language="de")


class NotingLibrary(VoiceLibrary):
    """Records which voice samples got a transcript, in order."""

    def __init__(self, store: VoiceStore) -> None:
        super().__init__(store, Catalogue(), lambda voices: None)
        self.transcribed: list[str] = []

    async def set_transcript(
        self, voice_sample: StoredVoiceSample, transcript: Transcript, *, keep_better: bool = False
    ) -> StoredVoiceSample:
        stored = await super().set_transcript(voice_sample, transcript, keep_better=keep_better)
        self.transcribed.append(voice_sample.id)
        return stored


class Workplace:
    """A store, its library, and a queue that transcribes what is in it."""

    def __init__(
        self, folder: Path, database: Database, transcription: Transcription, recordings: Objects | None
    ) -> None:
        self.store = VoiceStore(database, recordings or FolderObjects(folder / "prompts"), folder / "tmp")
        self.library = NotingLibrary(self.store)
        self.transcription = transcription
        self.automatic = True
        self.queue = TranscriptionQueue(self.transcription, self.library, lambda: self.automatic)

    def add(self, name: str, loudness: float = 0.1) -> StoredVoiceSample:
        """Store three seconds of noise."""
        wav = self.store.new_temporary()
        noise = np.random.default_rng(len(name)).normal(0.0, loudness, 3 * 44_100)
        soundfile.write(wav, noise, 44_100, subtype="PCM_16")
        return self.store.put_voice_sample(
            name,
            wav,
            duration_s=3.0,
            sample_rate=44_100,
            original_format="wav",
            original_sample_rate=44_100,
            channels=1,
            warnings=(),
            waveform=(),
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(60):
            while not await to_thread.run_sync(condition):
                await anyio.sleep(0.02)

    def transcript(self, name: str) -> str | None:
        return self.store.voice_sample(name).transcript

    def findings(self, name: str) -> tuple[str, ...]:
        return self.store.voice_sample(name).transcript_findings


@asynccontextmanager
async def workplace(
    folder: Path,
    checkpoint: Path,
    recordings: Objects | None = None,
    url: str | None = None,
    model: type[Transcription] = Transcription,
) -> AsyncIterator[Workplace]:
    """url: of a PostgreSQL database, which other workplaces may use too."""
    with Place(folder, url).opened() as database:
        one = Workplace(folder, database, model(str(checkpoint), lambda: "cpu"), recordings)
        async with anyio.create_task_group() as group:
            group.start_soon(one.transcription.run)
            group.start_soon(one.queue.run)
            await anyio.wait_all_tasks_blocked()
            yield one
            group.cancel_scope.cancel()


@pytest.mark.slow
async def test_the_latest_voice_sample_is_transcribed_first(tmp_path: Path, checkpoint: Path) -> None:
    async with workplace(tmp_path, checkpoint) as one:
        for name in ("first", "second", "third"):
            one.add(name)
            await anyio.sleep(0.002)  # The order of arrival is stored in milliseconds.
        assert one.queue.schedule()
        await one.until(lambda: len(one.library.transcribed) == 3)
        assert one.library.transcribed == ["third", "second", "first"]
        assert one.transcript("first") == SAID
        assert one.store.voice_sample("first").transcript_source == "whisper"


@pytest.mark.slow
async def test_a_failure_is_stored_and_the_next_one_is_transcribed(tmp_path: Path, checkpoint: Path) -> None:
    async with workplace(tmp_path, checkpoint) as one:
        one.add("sound")
        await anyio.sleep(0.002)
        one.add("gone").path.write_bytes(b"no recording")
        assert one.queue.schedule()
        await one.until(lambda: one.transcript("sound") is not None)
        failed = one.store.voice_sample("gone")
        assert failed.transcript is None
        assert failed.transcript_findings == ("The sample could not be read.",)
        assert one.store.next_without_transcript() is None


@pytest.mark.slow
async def test_a_recording_that_is_not_on_this_machine_is_fetched(
    tmp_path: Path, checkpoint: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    recordings = BucketObjects(open_bucket(object_store.new_bucket()), "prompts", tmp_path / "cache")
    async with workplace(tmp_path, checkpoint, recordings) as one:
        one.add("elsewhere").path.unlink()
        assert one.queue.schedule()
        await one.until(lambda: one.transcript("elsewhere") == SAID)


@pytest.mark.slow
async def test_no_two_servers_transcribe_the_same_voice_sample(
    tmp_path: Path, checkpoint: Path, postgres: Postgres
) -> None:
    url, names = postgres.schema_url(), ["a", "bb", "ccc", "dddd", "eeeee"]
    async with (
        workplace(tmp_path, checkpoint, url=url) as one,
        workplace(tmp_path, checkpoint, url=url) as two,
    ):
        for name in names:
            one.add(name)
        assert one.queue.schedule()
        assert two.queue.schedule()
        await one.until(lambda: len(one.library.transcribed + two.library.transcribed) >= len(names))
        assert sorted(one.library.transcribed + two.library.transcribed) == names


@pytest.mark.slow
async def test_a_transcription_of_a_killed_server_is_taken_over(
    tmp_path: Path, checkpoint: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming_server.voice_samples.transcription_queue.LOOK_S", 0.1)
    url = postgres.schema_url()
    with Place(tmp_path, url).opened() as database:
        store = VoiceStore(database, FolderObjects(tmp_path / "prompts"), tmp_path / "tmp")
        async with workplace(tmp_path, checkpoint, url=url) as one:
            one.automatic = False
            sample = one.add("left")
            with database.exclusive() as transaction:
                Leases(database).take(transaction, f"transcription {sample.sha256}", 1.0)
            assert store.claim_transcription(sample) is None
            one.automatic = True
            await one.until(lambda: one.transcript("left") == SAID)


@pytest.mark.slow
async def test_a_server_that_was_stopped_for_a_while_stores_no_transcript(
    tmp_path: Path, checkpoint: Path, postgres: Postgres
) -> None:
    """Another one has taken the voice sample over."""
    url = postgres.schema_url()
    with Place(tmp_path, url).opened() as database:
        async with workplace(tmp_path, checkpoint, url=url) as one:
            sample = one.add("ann")
            assert one.queue.schedule()
            await one.until(lambda: one.transcription.status()["busy"])
            leases = Leases(database)
            with database.exclusive() as transaction:
                leases.clear(transaction)
                leases.take(transaction, f"transcription {sample.sha256}", 60.0)
            one.add("other")
            await one.until(lambda: bool(one.library.transcribed))
            assert one.library.transcribed == ["other"]


async def test_a_transcript_written_meanwhile_is_kept(tmp_path: Path, checkpoint: Path) -> None:
    async with workplace(tmp_path, checkpoint) as one:
        sample, other = one.add("written"), one.add("other")
        await one.library.set_transcript(sample, written_transcript("By hand.", "manual", 3.0))
        assert one.queue.schedule(again=[sample])
        await one.until(lambda: one.transcript(other.id) is not None)
        assert one.transcript("written") == "By hand."


async def test_a_transcript_of_a_replaced_recording_is_dropped(tmp_path: Path, checkpoint: Path) -> None:
    async with workplace(tmp_path, checkpoint) as one:
        before = one.add("replaced")
        assert one.add("replaced", loudness=0.2).sha256 != before.sha256
        one.store.set_transcript("replaced", "Of the new one.", "txt")
        one.add("other")
        assert one.queue.schedule(again=[before])
        await one.until(lambda: one.transcript("other") is not None)
        assert one.transcript("replaced") == "Of the new one."


async def test_nothing_is_scheduled_when_disabled(tmp_path: Path, checkpoint: Path) -> None:
    async with workplace(tmp_path, checkpoint) as one:
        one.automatic = False
        one.add("sample")
        assert not one.queue.schedule()
        assert one.transcription.state == "off"
        one.automatic = True
        assert one.queue.schedule()
        await one.until(lambda: one.transcript("sample") == SAID)


class AnsweringOnceLoaded(Transcription):
    """Gives up on a file while the model is being loaded, as after a slow download."""

    async def transcribe(self, path: Path, duration_s: float) -> Transcript:
        if self.state != "ready":
            raise Unavailable("Whisper is still being loaded; try again later.")
        return await super().transcribe(path, duration_s)


async def test_a_slow_load_is_waited_for_and_not_stored_as_a_failure(
    tmp_path: Path, checkpoint: Path
) -> None:
    async with workplace(tmp_path, checkpoint, model=AnsweringOnceLoaded) as one:
        one.add("patient")
        assert one.queue.schedule()
        await one.until(lambda: one.transcript("patient") is not None or bool(one.findings("patient")))
        assert (one.transcript("patient"), one.findings("patient")) == (SAID, ())
