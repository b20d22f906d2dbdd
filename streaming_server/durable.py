"""Files that outlive a power cut."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from streaming_server.errors import EngineFailure


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


def remove_older(folder: Path, before: float, *, read: bool = False) -> int:
    """Remove the files of a folder last written, or with `read` last read, before a time; how many.

    Others may remove some meanwhile. Blocks. Raises OSError.
    """
    removed = 0
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            found = file.stat()
            if (found.st_atime if read else found.st_mtime) < before:
                file.unlink()
                removed += 1
    return removed


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
