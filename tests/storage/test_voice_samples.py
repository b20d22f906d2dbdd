"""Voice samples and their transcripts in the store."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers.databases import Place
from helpers.voice_store import FULL, PLAIN, blob, files, opened, put, written

from streaming_server.errors import (
    BadValue,
    InUse,
    StorageFailure,
    UnknownVoiceSample,
)
from streaming_server.storage.objects import FolderObjects
from streaming_server.storage.sqlite import FILE_NAME
from streaming_server.storage.voice_records import StoredVoice, StoredVoiceSample
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.transcript import Source


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


def test_a_replacement_can_keep_the_voices_own_transcript(store: VoiceStore, tmp_path: Path) -> None:
    def replace_by(content: bytes) -> StoredVoiceSample:
        return store.put_voice_sample(
            "ann",
            written(store, content),
            keep_voice_transcripts=True,
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


def test_a_folder_that_cannot_be_read_is_a_storage_failure(store: VoiceStore, tmp_path: Path) -> None:
    unreadable = replace(put(store, "ann"), path=tmp_path / ("a" * 300))
    with pytest.raises(StorageFailure):
        _ = unreadable.exists
