"""The journal of generations and its files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.databases import Place

from streaming_server.errors import StorageFailure, UnknownEntry
from streaming_server.storage.history import Journal, JournalEntry
from streaming_server.storage.outputs import OutputFolder


@contextmanager
def opened(place: Place) -> Iterator[Journal]:
    with place.opened() as database:
        yield Journal(database, OutputFolder(place.data / "outputs", 2**20), "test")


@pytest.fixture
def journal(place: Place) -> Iterator[Journal]:
    with opened(place) as one:
        yield one


def noted(journal: Journal, file: Path | None = None, voice: str = "aria") -> JournalEntry:
    journal.add(
        text="Hello «there».", voice=voice, voice_sample="ann.wav", took_s=0.5, audio_s=2.0, file=file
    )
    return journal.list()[0][0]


def kept(tmp_path: Path, data: bytes = b"RIFF sound") -> Path:
    output = OutputFolder(tmp_path / "outputs", 2**20).create("wav")
    output.append(data)
    file = output.keep()
    assert file is not None
    return file


def test_an_entry_is_stored_with_all_fields(place: Place, tmp_path: Path) -> None:
    before = time.time()
    with opened(place) as journal:
        file = kept(tmp_path)
        entry = noted(journal, file)
    with opened(place) as journal:
        assert journal.get(entry.id) == entry
    assert before <= entry.made_at <= time.time()
    assert (entry.text, entry.voice, entry.voice_sample) == ("Hello «there».", "aria", "ann.wav")
    assert (entry.took_s, entry.audio_s) == (0.5, 2.0)
    assert (entry.file, entry.file_size) == (file, 10)


@pytest.mark.parametrize("gone", [False, True])
def test_an_entry_may_have_no_file(journal: Journal, tmp_path: Path, gone: bool) -> None:
    file = kept(tmp_path) if gone else None
    if file is not None:
        file.unlink()
    entry = noted(journal, file)
    assert entry.file is entry.file_size is None


def test_lists_the_latest_first_and_counts_all(journal: Journal) -> None:
    ids = [noted(journal, voice=voice).id for voice in ("aria", "zara", "aria", "kai")]
    assert [entry.id for entry in journal.list()[0]] == ids[::-1]
    entries, total = journal.list("aria", limit=1)
    assert ([entry.id for entry in entries], total) == ([ids[2]], 4)
    assert journal.list("nobody") == ([], 4)


def test_an_entry_is_deleted_with_its_file(journal: Journal, tmp_path: Path) -> None:
    entry, other = noted(journal, kept(tmp_path)), noted(journal, kept(tmp_path))
    journal.delete(entry.id)
    assert journal.list()[0] == [other]
    assert list((tmp_path / "outputs").iterdir()) == [other.file]
    with pytest.raises(UnknownEntry):
        journal.delete(entry.id)
    with pytest.raises(UnknownEntry):
        journal.get("../evil")


def test_an_entry_without_its_file_can_be_deleted(journal: Journal, tmp_path: Path) -> None:
    entry = noted(journal, kept(tmp_path))
    assert entry.file is not None
    entry.file.unlink()
    journal.delete(entry.id)
    assert journal.list() == ([], 0)


def test_entries_with_and_without_files_expire(journal: Journal, tmp_path: Path) -> None:
    noted(journal, kept(tmp_path))
    noted(journal)
    kept(tmp_path)  # Of a generation that was not noted.
    assert journal.expire(time.time() - 3600) == 0
    now = time.time()
    for file in (tmp_path / "outputs").iterdir():
        os.utime(file, (now - 7200, now - 7200))
    assert journal.expire(now - 3600) == 2  # The files are old; the entries are not.
    assert len(journal.list()[0]) == 2
    assert journal.expire(time.time() + 1) == 2
    assert journal.list() == ([], 0)


def test_foreign_entries_beside_outputs_are_kept(journal: Journal, tmp_path: Path) -> None:
    """They do not stop the cleanup. The earlier server's file names contain the voice."""
    outputs = tmp_path / "outputs"
    (outputs / "20260101_101010_0123abcd.wav").mkdir()
    (outputs / "mine.wav").touch()
    (outputs / "20250101_101010_0123abcd_my voice.wav").touch()
    noted(journal, kept(tmp_path))
    assert journal.expire(time.time() + 1) == 3
    assert {path.name for path in outputs.iterdir()} == {"20260101_101010_0123abcd.wav", "mine.wav"}


def test_an_entry_is_deleted_even_if_its_file_cannot_be(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted(journal, kept(tmp_path))

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageFailure):
        journal.expire(time.time() + 1)
    assert journal.list() == ([], 0)


def test_a_copy_stays_on_the_server_that_made_it(place: Place, tmp_path: Path) -> None:
    with place.opened() as database:
        folder = OutputFolder(place.data / "outputs", 2**20)
        one, other = Journal(database, folder, "one"), Journal(database, folder, "other")
        entry = noted(one, kept(tmp_path))
        assert entry.file is not None
        assert other.get(entry.id).file is None
        other.delete(entry.id)
        assert entry.file.exists()
