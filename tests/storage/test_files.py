"""Durable files, cleanup of expired ones, and ownership of a directory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming_server.storage.files import move_whole, remove_older, remove_strays, sync_folder


def test_a_file_is_synced_before_its_rename_and_the_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a power cut would show a mistake, so the test checks the order of system calls."""
    source, target = tmp_path / "part", tmp_path / "kept" / "whole"
    target.parent.mkdir()
    source.write_bytes(b"all of it")
    told: list[tuple[Path, bool]] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        fsync(descriptor)
        told.append((Path(f"/proc/self/fd/{descriptor}").readlink(), target.exists()))

    monkeypatch.setattr(os, "fsync", recorded)
    move_whole(source, target)
    assert told == [(source, False), (target.parent, True)]
    assert target.read_bytes() == b"all of it"
    assert not source.exists()


def test_replaces_a_file_of_the_same_name(tmp_path: Path) -> None:
    source, target = tmp_path / "part", tmp_path / "whole"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    move_whole(source, target)
    assert target.read_bytes() == b"new"


def test_a_failure_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        move_whole(tmp_path / "nothing", tmp_path / "whole")
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")


@pytest.mark.parametrize(("read", "kept"), [(False, {"new", "read"}), (True, {"new", "written"})])
def test_files_expire_by_time_of_writing_or_reading(tmp_path: Path, read: bool, kept: set[str]) -> None:
    """Access and modification times, in seconds since the epoch."""
    for name, times in {"old": (10, 10), "read": (30, 30), "written": (30, 10), "new": (30, 30)}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, times)
    os.utime(tmp_path / "read", (10, 30))
    assert remove_older(tmp_path, 20.0, read=read) == 2
    assert {file.name for file in tmp_path.iterdir()} == kept


def test_a_file_removed_concurrently_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second", "third"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (10, 10))
    listed = Path.iterdir

    def and_then_one_goes(folder: Path) -> Iterator[Path]:
        files = list(listed(folder))
        files[1].unlink()
        return iter(files)

    monkeypatch.setattr(Path, "iterdir", and_then_one_goes)
    assert remove_older(tmp_path, 20.0) == 2
    assert list(listed(tmp_path)) == []


OURS = re.compile(r"[0-9a-f]{4}\.wav")


def is_ours(name: str) -> bool:
    return OURS.fullmatch(name) is not None


@pytest.fixture
def strewn(tmp_path: Path) -> Path:
    """Create a directory with one of our files and foreign entries, all of them old."""
    folder = tmp_path / "folder"
    (folder / "00fd.wav").mkdir(parents=True)
    (folder / "00fd.wav" / "inside.wav").touch()
    (folder / "00ff.wav").touch()
    (folder / "notes.txt").touch()
    (tmp_path / "elsewhere.wav").touch()
    (folder / "00fe.wav").symlink_to(tmp_path / "elsewhere.wav")
    (folder / "00fc.wav").symlink_to(tmp_path)
    (folder / "00fb.wav").symlink_to(tmp_path / "nowhere")
    for path in folder.iterdir():
        os.utime(path, (10, 10), follow_symlinks=False)
    return folder


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_expired_foreign_entries_are_kept(strewn: Path) -> None:
    before = left_in(strewn)
    assert remove_older(strewn, 20.0, OURS) == 1
    assert left_in(strewn) == before - {"00ff.wav"}
    assert remove_older(strewn, 20.0) == 1
    assert left_in(strewn) == before - {"00ff.wav", "notes.txt"}
    assert (strewn.parent / "elsewhere.wav").exists()


def test_strays_are_own_files_that_are_not_referenced(strewn: Path) -> None:
    (strewn / "00fa.wav").touch()
    before = left_in(strewn)
    assert remove_strays(strewn, lambda name: is_ours(name) and name != "00fa.wav") == 1
    assert left_in(strewn) == before - {"00ff.wav"}
    assert remove_strays(strewn, is_ours) == 1
    assert remove_strays(strewn, is_ours) == 0


def test_a_file_that_cannot_be_removed_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, a file may be marked immutable."""
    unlink = Path.unlink

    def except_one(path: Path, missing_ok: bool = False) -> None:
        if path.name == "0002.wav":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", except_one)
    for number in range(4):
        (tmp_path / f"000{number}.wav").touch()
    assert remove_strays(tmp_path, lambda name: is_ours(name) and name != "0003.wav") == 2
    for path in tmp_path.iterdir():
        os.utime(path, (10, 10))
    with pytest.raises(PermissionError):
        remove_older(tmp_path, 20.0, OURS)
    assert left_in(tmp_path) == {"0002.wav"}
