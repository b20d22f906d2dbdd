"""The store of voices and voice samples: consistency after kills, full disks and replacements."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from helpers import store_writer
from helpers.databases import Place

from streaming_server.errors import (
    BadValue,
    Forbidden,
    InUse,
    StorageFailure,
    StoreUnavailable,
    UnknownVoice,
    UnknownVoiceSample,
)
from streaming_server.storage.objects import FolderObjects
from streaming_server.storage.sqlite import FILE_NAME
from streaming_server.storage.voice_records import Metadata, StoredVoice, StoredVoiceSample
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.transcript import Source
from streaming_server.types import BUILTIN_VOICES

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


@pytest.fixture
def store(place: Place) -> Iterator[VoiceStore]:
    with opened(place) as one:
        yield one


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


def test_a_voice_sample_is_stored_with_all_fields(place: Place, tmp_path: Path) -> None:
    content = b"RIFF a recording"
    with opened(place) as store:
        wav = written(store, content)
        stored = store.put_voice_sample("ann", wav, **FULL)
    assert not wav.exists()
    with opened(place) as store:
        voice_sample = store.voice_sample("ann")
        assert store.voice_samples() == [voice_sample]
    assert voice_sample == stored
    assert asdict(voice_sample) == {
        **FULL,
        "id": "ann",
        "path": tmp_path / "prompts" / blob(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "discovered_at": voice_sample.discovered_at,
    }
    assert voice_sample.path.read_bytes() == content
    assert voice_sample.exists
    assert abs((datetime.now(UTC) - datetime.fromisoformat(voice_sample.discovered_at)).total_seconds()) < 60


def test_paths_are_absolute_for_a_relative_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(Place(Path("data"))) as store:
        voice_sample = put(store, "ann")
    assert voice_sample.path == tmp_path / "data" / "prompts" / blob(b"RIFF one")


def test_a_recording_is_synced_before_its_rename_and_its_rename_before_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a power cut would show a mistake, so the test checks the order of system calls."""
    told: list[tuple[str, Path, bool]] = []
    fsync, rename = os.fsync, os.replace

    def row_is_there() -> bool:
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
            return bool(connection.execute("SELECT 1 FROM prompts").fetchone())

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        told.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink(), row_is_there()))

    def recorded_rename(source: Path, target: Path) -> None:
        rename(source, target)
        told.append(("rename", target, row_is_there()))

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_rename)
    with opened(Place(tmp_path)) as store:
        assert told == [("fsync", tmp_path, False)]
        wav = written(store, b"RIFF one")
        voice_sample = store.put_voice_sample("ann", wav, **PLAIN)
    assert row_is_there()
    assert told[1:] == [
        ("fsync", wav, False),
        ("rename", voice_sample.path, False),
        ("fsync", tmp_path / "prompts", False),
    ]


def test_a_replaced_voice_sample_has_a_new_recording(store: VoiceStore, tmp_path: Path) -> None:
    put(store, "ann")
    store.set_transcript("ann", "Of the first.", "manual", language="en", findings=("uncertain",))
    store.put_voice(StoredVoice("reader", "Reader", voice_sample="ann"))
    again = put(store, "ann", b"RIFF two")
    assert again.transcript is again.transcript_source is again.transcript_language is None
    assert again.transcript_findings == ()
    assert files(tmp_path / "prompts") == {blob(b"RIFF two")}
    assert store.voice_samples() == [again]
    assert store.voice("reader").voice_sample == "ann"


def test_a_recording_that_is_replaced_while_it_is_fetched(place: Place) -> None:
    class Objects(FolderObjects):
        replacing: Callable[[], object] | None = None

        def fetch(self, name: str, sha256: str | None = None) -> Path:
            replacing, self.replacing = self.replacing, None
            if replacing is not None:
                replacing()
            return super().fetch(name, sha256)

    objects = Objects(place.data / "prompts")
    with place.opened() as database:
        store = VoiceStore(database, objects, place.data / "tmp")
        put(store, "ann")
        objects.replacing = lambda: put(store, "ann", b"RIFF two")
        assert store.fetched("ann").path.read_bytes() == b"RIFF two"
        store.voice_sample("ann").path.unlink()
        with pytest.raises(UnknownVoiceSample, match="gone"):
            store.fetched("ann")


def test_a_voice_s_own_transcript_is_dropped_with_the_recording(store: VoiceStore) -> None:
    """It describes the old recording; one set afterwards applies again."""
    put(store, "ann")
    store.put_voice(StoredVoice("reader", "Reader", voice_sample="ann", transcript="Of the first."))
    store.put_voice(StoredVoice("aside", "Aside", transcript="Of no recording."))
    put(store, "ann", b"RIFF two")
    assert store.voice("reader") == StoredVoice("reader", "Reader", voice_sample="ann")
    assert store.voice("aside").transcript == "Of no recording."
    store.change_voice("reader", transcript="Of the second.")
    put(store, "ann", b"RIFF two")
    assert store.voice("reader").transcript == "Of the second."


@pytest.mark.parametrize(
    ("known", "given", "kept"),
    [
        ("manual", None, True),
        ("manual", "whisper", True),
        ("whisper", None, True),
        ("whisper", "manual", False),
        ("manual", "manual", False),
    ],
)
def test_storing_the_same_recording_again_keeps_the_more_trusted_transcript(
    store: VoiceStore, known: Source, given: Source | None, kept: bool
) -> None:
    put(store, "ann")
    store.set_transcript("ann", "What was known.", known, language="en")
    again = store.put_voice_sample(
        "ann",
        written(store, b"RIFF one"),
        **PLAIN,
        transcript="What is given." if given else None,
        transcript_source=given,
    )
    assert (again.transcript == "What was known.") is kept
    assert (again.transcript_source, again.transcript_language) == ((known, "en") if kept else (given, None))


def test_storing_the_same_recording_again_keeps_its_file(store: VoiceStore, tmp_path: Path) -> None:
    put(store, "ann")
    assert put(store, "ann").exists
    assert files(tmp_path / "prompts") == {blob(b"RIFF one")}


def test_voice_samples_with_the_same_content_share_a_file(store: VoiceStore, tmp_path: Path) -> None:
    assert put(store, "ann").path == put(store, "bob").path == put(store, "eve").path
    store.delete_voice_sample("ann")
    put(store, "bob", b"RIFF two")
    assert store.voice_sample("eve").exists
    store.delete_voice_sample("eve")
    assert files(tmp_path / "prompts") == {blob(b"RIFF two")}


def test_an_invalid_name_leaves_no_file(store: VoiceStore, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"^prompt_id: "):
        put(store, "../evil")
    assert store.voice_samples() == []
    assert files(tmp_path / "prompts") == files(tmp_path / "tmp") == set()
    assert {name for name in files(tmp_path) if not name.startswith(FILE_NAME)} == {"prompts", "tmp"}


def test_temporary_paths_are_unique(store: VoiceStore, tmp_path: Path) -> None:
    paths = {store.new_temporary(".part") for _ in range(100)}
    assert len(paths) == 100
    assert {path.parent for path in paths} == {tmp_path / "tmp"}
    assert not any(path.exists() for path in paths)


def test_an_unknown_voice_sample(store: VoiceStore) -> None:
    with pytest.raises(UnknownVoiceSample):
        store.voice_sample("ann")
    with pytest.raises(UnknownVoiceSample):
        store.set_transcript("ann", "Good morning.", "manual")
    with pytest.raises(UnknownVoiceSample):
        store.delete_voice_sample("../evil")


def test_a_transcript_replaces_the_previous_one(store: VoiceStore) -> None:
    put(store, "ann")
    store.set_transcript(
        "ann", "Guten Tag.", "whisper", language="de", language_probability=0.5, findings=("uncertain",)
    )
    voice_sample = store.set_transcript("ann", "Good day.", "manual")
    assert voice_sample == store.voice_sample("ann")
    assert (voice_sample.transcript, voice_sample.transcript_source) == ("Good day.", "manual")
    assert (voice_sample.transcript_language, voice_sample.transcript_language_probability) == (None, None)
    assert voice_sample.transcript_findings == ()


def test_the_reason_of_a_missing_transcript_is_stored(store: VoiceStore) -> None:
    put(store, "ann")
    voice_sample = store.set_transcript("ann", None, None, findings=("no_speech",))
    assert (voice_sample.transcript, voice_sample.transcript_source, voice_sample.transcript_findings) == (
        None,
        None,
        ("no_speech",),
    )


def test_rejects_a_transcript_of_a_replaced_recording(store: VoiceStore) -> None:
    heard = put(store, "ann")
    put(store, "ann", b"RIFF two")
    with pytest.raises(UnknownVoiceSample, match="another recording"):
        store.set_transcript("ann", "Of the first.", "whisper", sha256=heard.sha256)
    assert store.voice_sample("ann").transcript is None
    store.set_transcript("ann", "Of the second.", "whisper", sha256=store.voice_sample("ann").sha256)
    assert store.voice_sample("ann").transcript == "Of the second."


@pytest.mark.parametrize(
    ("there", "new", "kept"),
    [
        ("manual", "whisper", True),
        ("manual", "txt", True),
        ("reference", "txt", True),
        ("txt", "whisper", True),
        ("manual", None, True),
        ("whisper", "whisper", False),
        ("whisper", "txt", False),
        ("txt", "manual", False),
    ],
)
def test_force_replaces_a_more_trusted_transcript(
    store: VoiceStore, there: Source, new: Source | None, kept: bool
) -> None:
    put(store, "ann")
    store.set_transcript("ann", "There.", there, keep_better=True)
    voice_sample = store.set_transcript("ann", "New.", new, keep_better=True)
    assert voice_sample.transcript == ("There." if kept else "New.")
    assert store.set_transcript("ann", "New.", new).transcript == "New."


DOUBTS = ("uncertain",)


@pytest.mark.parametrize("keep_better", [True, False])
@pytest.mark.parametrize(
    ("there", "doubts", "kept"),
    [
        ("whisper", (), True),
        ("whisper", DOUBTS, False),
        ("txt", (), True),
        ("txt", DOUBTS, None),
        ("manual", (), True),
        ("manual", DOUBTS, True),
    ],
)
def test_an_unreliable_transcript_does_not_replace_a_trusted_one(
    store: VoiceStore, there: Source, doubts: tuple[str, ...], kept: bool | None, keep_better: bool
) -> None:
    """A written transcript is trusted whatever its findings. None: the order of sources decides."""
    put(store, "ann")
    store.set_transcript("ann", "There.", there, findings=doubts)
    voice_sample = store.set_transcript("ann", "New.", "whisper", findings=DOUBTS, keep_better=keep_better)
    stays = keep_better if kept is None else kept
    assert (voice_sample.transcript, voice_sample.transcript_source) == (
        ("There.", there) if stays else ("New.", "whisper")
    )
    voice_sample = store.set_transcript(
        "ann", None, None, findings=("It could not be heard.",), keep_better=True
    )
    assert voice_sample.transcript is not None


def test_written_transcripts_are_used_whatever_their_findings(
    store: VoiceStore,
) -> None:
    put(store, "ann")
    for source in ("whisper", "txt", "manual"):
        store.set_transcript("ann", "There.", "whisper")
        assert store.set_transcript("ann", "New.", source, keep_better=True).trustworthy
    store.set_transcript("ann", "There.", "whisper")
    assert store.set_transcript("ann", "New.", "txt", findings=DOUBTS).transcript == "New."
    assert not store.voice_sample("ann").trustworthy


def test_samples_without_a_transcript_are_listed_latest_first(store: VoiceStore) -> None:
    def unheard() -> str | None:
        voice_sample = store.next_without_transcript()
        return voice_sample.id if voice_sample is not None else None

    assert unheard() is None
    for number, voice_sample_id in enumerate(("ann", "bob", "cat", "dan")):
        put(store, voice_sample_id, b"RIFF %d" % number)
    store.set_transcript("dan", "What is said.", "manual")
    assert unheard() == "cat"
    store.set_transcript("cat", None, None, findings=("It could not be heard.",))
    assert unheard() == "bob"
    store.set_transcript("bob", "", "whisper", findings=("no_speech",))
    assert unheard() == "ann"
    store.delete_voice_sample("ann")
    assert unheard() is None


def test_a_recording_is_transcribed_by_one_server(store: VoiceStore) -> None:
    ann, bob = put(store, "ann"), put(store, "bob", b"RIFF two")
    lease = store.claim_transcription(ann)
    assert lease is not None
    assert store.claim_transcription(ann) is None
    assert store.next_without_transcript() == bob
    assert store.renew(lease)
    store.release(lease)
    assert store.claim_transcription(ann) is not None


def test_a_transcribed_recording_is_transcribed_again_only_on_request(
    store: VoiceStore,
) -> None:
    seen = put(store, "ann")
    assert store.next_without_transcript() == seen
    store.set_transcript("ann", "By another server.", "whisper")
    assert store.claim_transcription(seen) is None
    assert store.claim_transcription(seen, again=True) is not None


class Held(FolderObjects):
    """A folder, as slow as an object store can be: calls wait until they are released."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.calls = threading.Semaphore(0)
        self.may_go_on = threading.Event()

    def _wait(self) -> None:
        self.calls.release()
        assert self.may_go_on.wait(20)

    def put(self, name: str, file: Path) -> None:
        self._wait()
        super().put(name, file)

    def delete(self, name: str) -> None:
        self._wait()
        super().delete(name)


@contextmanager
def opened_twice(place: Place) -> Iterator[tuple[VoiceStore, VoiceStore, Held]]:
    """Open the store of two servers, one of which waits for its files."""
    held = Held(place.data / "prompts")
    with place.opened() as database, opened(place) as other:
        yield VoiceStore(database, held, place.data / "tmp"), other, held


def test_a_slow_upload_delays_no_other_call(place: Place) -> None:
    with opened_twice(place) as (slow, other, held), ThreadPoolExecutor() as pool:
        upload = pool.submit(put, slow, "ann")
        assert held.calls.acquire(timeout=20)
        put(other, "bob", b"RIFF two")
        other.put_voice(StoredVoice("reader", "Reader", voice_sample="bob"))
        held.may_go_on.set()
        assert upload.result(20).exists


def test_a_recording_that_is_being_stored_is_not_deleted(place: Place) -> None:
    """Neither with the last voice sample that has the same recording, nor by the sweep of another server."""
    with opened_twice(place) as (slow, other, held), ThreadPoolExecutor() as pool:
        put(other, "bob")
        upload = pool.submit(put, slow, "ann")
        assert held.calls.acquire(timeout=20)
        other.delete_voice_sample("bob")
        assert (place.data / "prompts" / blob(b"RIFF one")).exists()
        held.may_go_on.set()
        assert upload.result(20).exists


def test_a_recording_that_is_being_deleted_is_stored_afterwards(place: Place) -> None:
    with opened_twice(place) as (slow, other, held), ThreadPoolExecutor() as pool:
        put(other, "ann")
        deletion = pool.submit(slow.delete_voice_sample, "ann")
        assert held.calls.acquire(timeout=20)
        upload = pool.submit(put, other, "bob")
        with pytest.raises(TimeoutError):
            upload.result(0.2)
        held.may_go_on.set()
        deletion.result(20)
        assert upload.result(20).exists


def test_an_upload_that_takes_longer_than_its_lease_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server may have deleted the file meanwhile."""
    monkeypatch.setattr("streaming_server.storage.recordings.STORE_S", -1.0)
    with opened_twice(place) as (slow, other, held), ThreadPoolExecutor() as pool:
        put(other, "bob", b"RIFF two")
        upload = pool.submit(put, slow, "ann", b"RIFF two")
        assert held.calls.acquire(timeout=20)
        other.delete_voice_sample("bob")
        held.may_go_on.set()
        with pytest.raises(StoreUnavailable, match="too long"):
            upload.result(20)
        assert other.voice_samples() == []


def test_a_replacement_can_keep_the_voices_own_transcript(store: VoiceStore, tmp_path: Path) -> None:
    def replace_by(content: bytes) -> StoredVoiceSample:
        return store.put_voice_sample(
            "ann",
            written(store, content),
            spare_voices=True,
            duration_s=6.0,
            sample_rate=44100,
            original_format="wav",
            original_sample_rate=44100,
            channels=1,
        )

    first = put(store, "ann")
    store.put_voice(StoredVoice("plain", "Plain", voice_sample="ann"))
    store.put_voice(StoredVoice("own", "Own", voice_sample="ann", transcript="What I say."))
    with pytest.raises(InUse, match="since the voice own got a transcript"):
        replace_by(b"RIFF two")
    assert store.voice_sample("ann") == first
    assert files(tmp_path / "prompts") == {first.path.name}
    assert files(tmp_path / "tmp") == set()
    assert replace_by(b"RIFF one").sha256 == first.sha256
    assert store.voice("own").transcript == "What I say."
    store.change_voice("own", transcript=None)
    assert replace_by(b"RIFF two").sha256 != first.sha256


def test_a_voice_sample_in_use_cannot_be_deleted(store: VoiceStore) -> None:
    put(store, "ann")
    store.put_voice(StoredVoice("reader", "Reader", voice_sample="ann"))
    with pytest.raises(InUse, match="the voice reader;"):
        store.delete_voice_sample("ann")
    store.put_voice(StoredVoice("aria", "Aria", voice_sample="ann"))
    with pytest.raises(InUse, match="the voices aria, reader;"):
        store.delete_voice_sample("ann")
    assert store.voice_sample("ann").exists
    assert store.voice("reader").voice_sample == "ann"


def test_force_deletes_a_voice_sample_and_removes_it_from_its_voices(
    store: VoiceStore, tmp_path: Path
) -> None:
    put(store, "ann")
    put(store, "bob", b"RIFF two")
    store.put_voice(
        StoredVoice("reader", "Reader", voice_sample="ann", transcript="Good morning.", speed=1.5)
    )
    other = store.put_voice(StoredVoice("other", "Other", voice_sample="bob", transcript="Good night."))
    assert store.delete_voice_sample("ann", force=True) == ("reader",)
    assert store.voice("reader") == StoredVoice("reader", "Reader", speed=1.5)
    assert store.voice("other") == other
    assert files(tmp_path / "prompts") == {blob(b"RIFF two")}
    with pytest.raises(UnknownVoiceSample):
        store.voice_sample("ann")


def test_an_unused_voice_sample_can_be_deleted(store: VoiceStore, tmp_path: Path) -> None:
    put(store, "ann")
    assert store.delete_voice_sample("ann") == ()
    assert store.voice_samples() == []
    assert files(tmp_path / "prompts") == set()


def test_a_voice_sample_without_its_file_is_still_listed(store: VoiceStore) -> None:
    voice_sample = put(store, "ann")
    voice_sample.path.unlink()
    assert store.sweep() == 0
    assert store.voice_samples() == [voice_sample]
    assert not store.voice_sample("ann").exists
    assert put(store, "ann").exists
    store.voice_sample("ann").path.unlink()
    store.delete_voice_sample("ann")
    assert store.voice_samples() == []


def test_the_sweep_deletes_only_unreferenced_files(store: VoiceStore, tmp_path: Path) -> None:
    kept = put(store, "ann")
    (tmp_path / "prompts" / blob(b"RIFF orphan")).write_bytes(b"RIFF orphan")
    (tmp_path / "prompts" / "my voice.wav").write_bytes(b"put here by hand")
    (tmp_path / "prompts" / "my voice.txt").write_text("Hello.")
    written(store, b"RIFF half")
    store.new_temporary(".part").write_bytes(b"ID3")
    for file in (tmp_path / "tmp").iterdir():
        os.utime(file, (10, 10))
    assert store.sweep() == 3
    assert files(tmp_path / "prompts") == {kept.path.name, "my voice.wav", "my voice.txt"}
    assert files(tmp_path / "tmp") == set()
    assert store.sweep() == 0


def test_directories_and_links_with_our_names_do_not_prevent_the_start(
    store: VoiceStore, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.wav"
    mine.write_bytes(b"RIFF mine")
    for folder, name in (("prompts", blob(b"RIFF gone")), ("tmp", "0" * 32 + ".wav")):
        (tmp_path / folder / name).mkdir()
        (tmp_path / folder / name / "inside").touch()
        (tmp_path / folder / name.replace("0", "1")).symlink_to(mine)
        (tmp_path / folder / "notes.txt").touch()
    before = {folder: files(tmp_path / folder) for folder in ("prompts", "tmp")}
    assert store.sweep() == 0
    assert {folder: files(tmp_path / folder) for folder in ("prompts", "tmp")} == before
    assert mine.exists()


def test_built_in_voices_always_exist(store: VoiceStore) -> None:
    assert [(voice.id, voice.name, voice.style, voice.primary_speaker) for voice in store.voices()] == [
        (voice.id, voice.name, voice.style, voice.primary_speaker) for voice in BUILTIN_VOICES
    ]
    assert all(voice.builtin and voice.voice_sample is None for voice in store.voices())
    assert store.voice("luna") == StoredVoice("luna", "Luna", "expressive", "S2", builtin=True)


@pytest.mark.parametrize("voice_id", [voice.id for voice in BUILTIN_VOICES])
def test_a_built_in_voice_can_be_shadowed_and_restored(store: VoiceStore, voice_id: str) -> None:
    before = store.voices()
    with pytest.raises(Forbidden):
        store.delete_voice(voice_id)
    shadow = store.put_voice(StoredVoice(voice_id, "Somebody else", "warm", "S2"))
    assert store.voice(voice_id) == shadow
    assert not shadow.builtin
    assert [voice.id for voice in store.voices()] == [voice.id for voice in before]
    store.delete_voice(voice_id)
    assert store.voices() == before
    with pytest.raises(Forbidden):
        store.delete_voice(voice_id)


def test_a_voice_is_stored_with_all_fields(place: Place) -> None:
    voice = StoredVoice(
        id="Чтец 2",
        name="Ann-Marie",
        style="warm, friendly",
        primary_speaker="S2",
        voice_sample="ann",
        transcript="[S1] Good morning.",
        temperature=1.25,
        cfg_scale=3.5,
        top_p=0.9,
        seed=2**63 - 1,
        speed=0.75,
    )
    with opened(place) as store:
        put(store, "ann")
        assert store.put_voice(replace(voice, builtin=True)) == voice
    with opened(place) as store:
        assert store.voice("Чтец 2") == voice
        assert store.voices()[-1] == voice


def test_a_change_updates_only_given_fields_and_none_clears(store: VoiceStore) -> None:
    put(store, "ann")
    voice = store.put_voice(
        StoredVoice("reader", "Reader", voice_sample="ann", transcript="Hello.", seed=7, top_p=0.5)
    )
    assert store.change_voice("reader") == voice
    changed = store.change_voice("reader", style="calm", transcript=None, seed=None)
    assert changed == replace(voice, style="calm", transcript=None, seed=None)
    assert store.voice("reader") == changed
    assert store.change_voice("reader", voice_sample=None).voice_sample is None
    store.delete_voice_sample("ann")


def test_changing_a_built_in_voice_shadows_it(store: VoiceStore) -> None:
    changed = store.change_voice("kai", speed=1.5)
    assert changed == StoredVoice("kai", "Kai", "friendly", "S1", speed=1.5)
    store.delete_voice("kai")
    assert store.voice("kai").speed is None


def test_an_unknown_voice(store: VoiceStore) -> None:
    with pytest.raises(UnknownVoice):
        store.voice("nobody")
    with pytest.raises(UnknownVoice):
        store.change_voice("nobody", speed=2.0)
    with pytest.raises(UnknownVoice):
        store.delete_voice("nobody")


def test_rejects_a_voice_with_an_unknown_voice_sample(store: VoiceStore) -> None:
    with pytest.raises(UnknownVoiceSample):
        store.put_voice(StoredVoice("reader", "Reader", voice_sample="nothing"))
    voice = store.put_voice(StoredVoice("reader", "Reader"))
    with pytest.raises(UnknownVoiceSample):
        store.change_voice("reader", speed=2.0, voice_sample="nothing")
    assert store.voice("reader") == voice


@pytest.mark.parametrize(
    ("voice", "field"),
    [
        (StoredVoice("../x", "Reader"), "voice_id"),
        (StoredVoice("reader", "a\0b"), "name"),
        (StoredVoice("reader", "Reader", style=""), "style"),
        (StoredVoice("reader", "Reader", style="a\nb"), "style"),
        (StoredVoice("reader", "Reader", style="s" * 65), "style"),
        (StoredVoice("reader", "Reader", primary_speaker="S9"), "primary_speaker"),  # type: ignore[arg-type]
    ],
)
def test_rejects_an_invalid_voice_and_names_the_field(
    store: VoiceStore, voice: StoredVoice, field: str
) -> None:
    before = store.voices()
    with pytest.raises(BadValue, match=f"^{field}: "):
        store.put_voice(voice)
    assert store.voices() == before


def test_names_are_not_interpreted(store: VoiceStore, tmp_path: Path) -> None:
    name = "drop table prompts"
    put(store, name)
    store.put_voice(StoredVoice(name, name, voice_sample=name, transcript="'; DROP TABLE voices; --"))
    assert store.voice(name).transcript == "'; DROP TABLE voices; --"
    assert files(tmp_path / "prompts") == {blob(b"RIFF one")}


def test_a_null_character_is_stored_by_sqlite_and_rejected_by_postgresql(
    store: VoiceStore, place: Place
) -> None:
    voice = StoredVoice("reader", "Reader", transcript="Hello\0there.")
    if place.url is None:
        assert store.put_voice(voice) == store.voice("reader") == voice
    else:
        with pytest.raises(BadValue, match="character that cannot be stored"):
            store.put_voice(voice)
    with pytest.raises(UnknownVoice):
        store.voice("reader\0")
    with pytest.raises(UnknownVoiceSample):
        store.voice_sample("ann\0")


def test_threads_that_share_recordings_lose_no_file(store: VoiceStore, tmp_path: Path) -> None:
    def churn(name: str) -> None:
        for turn in range(30):
            put(store, name, b"RIFF %d" % (turn % 2))
            if turn % 3 == 0:
                store.delete_voice_sample(name)

    threads = [threading.Thread(target=churn, args=(name,)) for name in ("ann", "bob", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [voice_sample.id for voice_sample in store.voice_samples()] == ["ann", "bob", "eve"]
    assert files(tmp_path / "prompts") == {voice_sample.path.name for voice_sample in store.voice_samples()}
    assert all(
        blob(voice_sample.path.read_bytes()) == voice_sample.path.name
        for voice_sample in store.voice_samples()
    )


def test_a_full_disk_rejects_the_upload_and_keeps_the_others(tmp_path: Path) -> None:
    with opened(Place(tmp_path)) as store:
        _check_full_disk(store, tmp_path)


def _check_full_disk(store: VoiceStore, tmp_path: Path) -> None:
    kept = put(store, "ann")
    log = tmp_path / f"{FILE_NAME}-wal"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wav = written(store, b"RIFF two")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
    try:
        with pytest.raises(StorageFailure, match="full"):
            store.put_voice_sample("ann", wav, **PLAIN)
        with pytest.raises(StorageFailure, match="full"):
            store.put_voice(StoredVoice("reader", "Reader"))
        assert store.voice_samples() == [kept]
        assert len(store.voices()) == len(BUILTIN_VOICES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert kept.exists
    assert files(tmp_path / "prompts") == {kept.path.name}
    assert files(tmp_path / "tmp") == set()
    assert put(store, "ann", b"RIFF two").exists


def test_a_missing_directory_is_a_storage_failure(store: VoiceStore, tmp_path: Path) -> None:
    kept = put(store, "ann")
    wav = written(store, b"RIFF two")
    (tmp_path / "prompts").rename(tmp_path / "moved")
    with pytest.raises(StorageFailure):
        store.put_voice_sample("ann", wav, **PLAIN)
    (tmp_path / "moved").rename(tmp_path / "prompts")
    assert store.voice_samples() == [kept]
    assert files(tmp_path / "tmp") == set()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_hundred_kills_leave_no_partial_voice_sample(tmp_path: Path) -> None:
    choice = random.Random(20_240_607)
    acknowledged: object = [{}, {}]
    changes = interrupted = leftovers = 0
    for kill in range(200):
        told = killed_writer(tmp_path, kill, choice)
        done = [json.loads(before) for before, after in pairwise(told) if after == b"done"]
        changes += len(done)
        acknowledged = done[-1] if done else acknowledged
        pending = json.loads(told[-1]) if told and told[-1] != b"done" else acknowledged
        interrupted += pending != acknowledged
        acknowledged = state_on_disk(tmp_path, (acknowledged, pending))
        with opened(Place(tmp_path)) as store:
            leftovers += bool(store.sweep())
            assert files(tmp_path / "tmp") == set()
            assert files(tmp_path / "prompts") == {
                voice_sample.path.name for voice_sample in store.voice_samples()
            }
    # The kills came where they hurt.
    assert changes > 200
    assert interrupted > 50
    assert leftovers > 20


def killed_writer(data_dir: Path, seed: int, choice: random.Random) -> list[bytes]:
    """Return the output of a writer killed at a random moment, during its start or its work."""
    command = [sys.executable, store_writer.__file__, str(data_dir), str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
        assert writer.stdout is not None
        try:
            # Counted in lines, so that a busy machine sees as many changes.
            begun = choice.random() > 0.1
            told = b"".join(writer.stdout.readline() for _ in range(begun and choice.randint(1, 8)))
            time.sleep(choice.uniform(0.0, 0.01 if begun else 0.12))
        finally:
            writer.kill()
        told += writer.stdout.read()
    assert writer.returncode == -signal.SIGKILL
    return told.splitlines()


def state_on_disk(data_dir: Path, allowed: tuple[object, object]) -> object:
    """Return which of two consistent states a reader finds after a kill, before any cleanup."""
    path = data_dir / FILE_NAME
    if not path.exists():
        assert allowed == ([{}, {}], [{}, {}])
        return allowed[0]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        if not connection.execute("PRAGMA user_version").fetchone()[0]:
            assert allowed == ([{}, {}], [{}, {}])
            return allowed[0]
        rows = connection.execute("SELECT id, sha256, duration_s, waveform FROM prompts").fetchall()
        voices = dict(connection.execute("SELECT id, prompt FROM voices").fetchall())
    for _, sha256, duration_s, waveform in rows:
        recording = data_dir / "prompts" / f"{sha256}.wav"
        assert hashlib.sha256(recording.read_bytes()).hexdigest() == sha256
        with wave.open(str(recording)) as recorded:
            assert recorded.getnframes() / recorded.getframerate() == pytest.approx(duration_s)
            assert recorded.getnframes() == json.loads(waveform)[1]
    state = [{row[0]: json.loads(row[3]) for row in rows}, voices]
    assert state in allowed
    return state
