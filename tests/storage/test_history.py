"""What was generated is noted, and its files are kept for a time."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streaming_server.errors import StorageFailure, UnknownEntry
from streaming_server.storage.database import Database
from streaming_server.storage.history import Journal, JournalEntry, OutputFile


@contextmanager
def opened(data_dir: Path) -> Iterator[Journal]:
    database = Database(data_dir)
    try:
        yield Journal(database, data_dir / "outputs")
    finally:
        database.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with opened(tmp_path) as one:
        yield one


def noted(journal: Journal, file: Path | None = None, voice: str = "aria") -> JournalEntry:
    journal.add(
        text="Hello «there».", voice=voice, voice_sample="ann.wav", took_s=0.5, audio_s=2.0, file=file
    )
    return journal.list()[0][0]


def kept(journal: Journal, data: bytes = b"RIFF sound") -> Path:
    output = OutputFile(journal.new_file("wav"))
    output.append(data)
    file = output.keep()
    assert file is not None
    return file


def test_an_entry_is_kept_with_all_that_is_known(tmp_path: Path) -> None:
    before = time.time()
    with opened(tmp_path) as journal:
        file = kept(journal)
        entry = noted(journal, file)
    with opened(tmp_path) as journal:
        assert journal.get(entry.id) == entry
    assert before <= entry.made_at <= time.time()
    assert (entry.text, entry.voice, entry.voice_sample) == ("Hello «there».", "aria", "ann.wav")
    assert (entry.took_s, entry.audio_s) == (0.5, 2.0)
    assert (entry.file, entry.file_size) == (file, 10)


@pytest.mark.parametrize("gone", [False, True])
def test_an_entry_need_not_have_a_file(journal: Journal, gone: bool) -> None:
    file = kept(journal) if gone else None
    if file is not None:
        file.unlink()
    entry = noted(journal, file)
    assert entry.file is entry.file_size is None


def test_the_latest_are_listed_first_and_all_are_counted(journal: Journal) -> None:
    ids = [noted(journal, voice=voice).id for voice in ("aria", "zara", "aria", "kai")]
    assert [entry.id for entry in journal.list()[0]] == ids[::-1]
    entries, total = journal.list("aria", limit=1)
    assert ([entry.id for entry in entries], total) == ([ids[2]], 4)
    assert journal.list("nobody") == ([], 4)


def test_an_entry_is_deleted_with_its_file(journal: Journal, tmp_path: Path) -> None:
    entry, other = noted(journal, kept(journal)), noted(journal, kept(journal))
    journal.delete(entry.id)
    assert journal.list()[0] == [other]
    assert list((tmp_path / "outputs").iterdir()) == [other.file]
    with pytest.raises(UnknownEntry):
        journal.delete(entry.id)
    with pytest.raises(UnknownEntry):
        journal.get("../evil")


def test_an_entry_whose_file_is_gone_is_deleted(journal: Journal) -> None:
    entry = noted(journal, kept(journal))
    assert entry.file is not None
    entry.file.unlink()
    journal.delete(entry.id)
    assert journal.list() == ([], 0)


def test_entries_expire_with_files_and_without(journal: Journal, tmp_path: Path) -> None:
    noted(journal, kept(journal))
    noted(journal)
    kept(journal)  # Of a generation that was not noted.
    assert journal.expire(time.time() - 3600) == 0
    now = time.time()
    for file in (tmp_path / "outputs").iterdir():
        os.utime(file, (now - 7200, now - 7200))
    assert journal.expire(now - 3600) == 2  # The files are old; the entries are not.
    assert len(journal.list()[0]) == 2
    assert journal.expire(time.time() + 1) == 2
    assert journal.list() == ([], 0)


def test_what_others_put_beside_the_outputs_stays(journal: Journal, tmp_path: Path) -> None:
    """And keeps nothing that is to go. The earlier server's files have the voice in their names."""
    outputs = tmp_path / "outputs"
    (outputs / "20260101_101010_0123abcd.wav").mkdir()
    (outputs / "mine.wav").touch()
    (outputs / "20250101_101010_0123abcd_my voice.wav").touch()
    noted(journal, kept(journal))
    assert journal.expire(time.time() + 1) == 3
    assert {path.name for path in outputs.iterdir()} == {"20260101_101010_0123abcd.wav", "mine.wav"}


def test_a_file_that_cannot_be_removed_keeps_no_entry(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted(journal, kept(journal))

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageFailure):
        journal.expire(time.time() + 1)
    assert journal.list() == ([], 0)


def test_files_are_named_by_when_they_were_made(journal: Journal, tmp_path: Path) -> None:
    files = {journal.new_file("flac") for _ in range(50)}
    assert len(files) == 50
    assert {file.parent for file in files} == {tmp_path / "outputs"}
    for file in files:
        assert file.suffix == ".flac"
        time.strptime(file.name[:15], "%Y%m%d_%H%M%S")


def test_a_copy_has_the_head_that_was_not_known_at_first(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "copy.wav")
    output.append(b"????")
    output.append(b"sound")
    assert output.keep(b"RIFF") == tmp_path / "copy.wav"
    assert (tmp_path / "copy.wav").read_bytes() == b"RIFFsound"
    output.discard()
    assert (tmp_path / "copy.wav").exists()


def test_a_copy_of_part_of_it_is_not_kept(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "copy.wav")
    output.append(b"sound")
    output.discard()
    output.append(b"more")
    assert output.keep() is None
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_cannot_be_begun_is_done_without(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "nowhere" / "copy.wav")
    output.append(b"sound")
    assert output.keep() is None


def test_a_disk_that_becomes_full_costs_the_copy_and_no_more(tmp_path: Path) -> None:
    """To a process that may write no longer files, every disk is full."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    output = OutputFile(tmp_path / "copy.wav")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        for _ in range(4):
            output.append(bytes(60_000))
        assert output.keep() is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
