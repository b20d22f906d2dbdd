"""Files that outlive a power cut."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

from streaming_server.errors import EngineFailure

ANY_NAME = re.compile(r".*", re.DOTALL)


def sync_folder(folder: Path) -> None:
    """Make what was renamed into the folder, or made in it, outlive a power cut. Blocks. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_whole(source: Path, target: Path) -> None:
    """Give a finished file its name; under that name it is never seen unfinished. Blocks. Raises OSError."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.rename(target)
    sync_folder(target.parent)


def discard(file: Path) -> None:
    """Remove a temporary file. One that cannot be removed now is, at the next start. Blocks."""
    with suppress(OSError):
        file.unlink(missing_ok=True)


def remove_older(
    folder: Path, before: float, named: re.Pattern[str] = ANY_NAME, *, read: bool = False
) -> int:
    """Remove the files of a folder last written, or with `read` last read, before a time; how many.

    named: what their whole names match. Folders, links and whatever bears another name are somebody else's.
    Others may remove some meanwhile. Blocks. Raises OSError where one could not be removed, after the rest.
    """
    removed, failure = 0, None
    for file in folder.iterdir():
        try:
            found = file.lstat()
            if _is_ours(file, found, named) and (found.st_atime if read else found.st_mtime) < before:
                file.unlink()
                removed += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            failure = error
    if failure is not None:
        raise failure
    return removed


def remove_strays(folder: Path, named: re.Pattern[str], kept: Container[str] = ()) -> int:
    """Remove the files of a folder that are not kept; how many. named: as in `remove_older`.

    What cannot be looked at or removed stays: a start does not fail for what was left behind. Blocks. Raises
    OSError where the folder cannot be read.
    """
    removed = 0
    for file in folder.iterdir():
        with suppress(OSError):
            if file.name not in kept and _is_ours(file, file.lstat(), named):
                file.unlink()
                removed += 1
    return removed


def _is_ours(file: Path, found: os.stat_result, named: re.Pattern[str]) -> bool:
    return stat.S_ISREG(found.st_mode) and named.fullmatch(file.name) is not None


class Lock:
    """A folder that only one server uses. Raises EngineFailure where another does."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise EngineFailure(
                f"Another server uses the data directory {folder}; give this one another with --data-dir."
            ) from None

    def release(self) -> None:
        os.close(self._descriptor)
