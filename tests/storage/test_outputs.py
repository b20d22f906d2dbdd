"""Copies of speech, in a folder of bounded size."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from streaming_server.errors import StorageFailure
from streaming_server.storage.outputs import OutputFolder

PLENTY = 2**30


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    return OutputFolder(tmp_path, PLENTY)


def kept(folder: OutputFolder, size: int, age_s: float = 0) -> Path:
    output = folder.create("wav")
    output.append(bytes(size))
    file = output.keep()
    assert file is not None
    os.utime(file, (time.time() - age_s, time.time() - age_s))
    return file


def test_outputs_are_named_by_the_time_they_were_made(folder: OutputFolder, tmp_path: Path) -> None:
    files = {kept(folder, 1) for _ in range(50)}
    assert len(files) == 50
    assert {file.parent for file in files} == {tmp_path}
    for file in files:
        assert file.suffix == ".wav"
        time.strptime(file.name[:15], "%Y%m%d_%H%M%S")


def test_keep_replaces_the_head(folder: OutputFolder) -> None:
    output = folder.create("wav")
    output.append(b"????")
    output.append(b"sound")
    file = output.keep(b"RIFF")
    assert file is not None
    assert file.read_bytes() == b"RIFFsound"
    output.discard()
    assert file.exists()


def test_an_incomplete_copy_is_deleted(folder: OutputFolder, tmp_path: Path) -> None:
    output = folder.create("wav")
    output.append(b"sound")
    output.discard()
    output.append(b"more")
    assert output.keep() is None
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_loses_only_the_copy(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "outputs", PLENTY)
    (tmp_path / "outputs").rmdir()
    output = folder.create("wav")
    output.append(b"sound")
    assert output.keep() is None


def test_a_full_disk_loses_only_the_copy(folder: OutputFolder, tmp_path: Path) -> None:
    """A limit on file size behaves like a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    output = folder.create("wav")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        for _ in range(4):
            output.append(bytes(60_000))
        assert output.keep() is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_outputs_are_deleted_at_the_limit(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path, 1000)
    files = [kept(folder, 300, age_s=100 - index) for index in range(6)]
    assert [file.exists() for file in files] == [False] * 3 + [True] * 3
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1000


def test_a_deleted_output_frees_its_space(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path, 1000)
    first, second = kept(folder, 500, age_s=100), kept(folder, 500)
    folder.delete(second)
    folder.delete(second)
    assert kept(folder, 500).exists()
    assert first.exists()


def test_outputs_of_an_earlier_run_count(tmp_path: Path) -> None:
    old = kept(OutputFolder(tmp_path, 1000), 800, age_s=100)
    new = kept(OutputFolder(tmp_path, 1000), 800)
    assert (old.exists(), new.exists()) == (False, True)


def test_an_output_being_written_is_not_deleted(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path, 1000)
    first = folder.create("wav")
    first.append(bytes(800))
    second = folder.create("wav")
    second.append(bytes(800))
    assert second.keep() is None
    assert first.keep() is not None


def test_a_copy_larger_than_the_limit_is_not_kept_and_frees_its_space(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path, 1000)
    output = folder.create("wav")
    for _ in range(5):
        output.append(bytes(300))
    assert output.keep() is None
    assert list(tmp_path.iterdir()) == []
    assert kept(folder, 900).exists()


def test_files_with_other_names_are_neither_counted_nor_deleted(tmp_path: Path) -> None:
    (tmp_path / "mine.wav").write_bytes(bytes(5000))
    assert kept(OutputFolder(tmp_path, 1000), 900).exists()
    assert (tmp_path / "mine.wav").exists()


def test_a_folder_that_cannot_be_made_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_bytes(b"a file")
    with pytest.raises(StorageFailure):
        OutputFolder(tmp_path / "outputs", PLENTY)
