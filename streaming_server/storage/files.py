"""Files that survive a power failure."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

ABANDONED_S = 3600.0
"""Age at which an unfinished file counts as abandoned; other servers may share the folder."""

ANY_NAME = re.compile(r".*", re.DOTALL)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk. Blocks. Raise OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_whole(source: Path, target: Path) -> None:
    """Rename a finished file atomically and durably. Blocks. Raise OSError."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(source, target)
    sync_folder(target.parent)


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal. Blocks. Raise OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def discard(file: Path) -> None:
    """Delete a temporary file; one that cannot be deleted is left to the next start. Blocks."""
    with suppress(OSError):
        file.unlink(missing_ok=True)


def remove_older(
    folder: Path, before: float, named: re.Pattern[str] = ANY_NAME, *, read: bool = False
) -> int:
    """Delete the files last written, or with `read` last read, before a time. Return how many.

    named: only regular files whose full name matches are deleted. Other programs may delete files at the same
    time. Blocks. Raise OSError, after deleting the rest, if a file cannot be deleted.
    """
    removed, failure = 0, None
    for file in folder.iterdir():
        try:
            found = file.lstat()
            if _matches(file, found, named) and (found.st_atime if read else found.st_mtime) < before:
                file.unlink()
                removed += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            failure = error
    if failure is not None:
        raise failure
    return removed


def remove_strays(folder: Path, is_stray: Callable[[str], bool]) -> int:
    """Delete the regular files with such names. Return how many.

    Files that cannot be deleted stay, as they must not prevent a start. Blocks. Raise OSError if the folder
    cannot be read.
    """
    removed = 0
    for file in folder.iterdir():
        with suppress(OSError):
            if is_stray(file.name) and stat.S_ISREG(file.lstat().st_mode):
                file.unlink()
                removed += 1
    return removed


def _matches(file: Path, found: os.stat_result, named: re.Pattern[str]) -> bool:
    return stat.S_ISREG(found.st_mode) and named.fullmatch(file.name) is not None


def regular_files(folder: Path, named: re.Pattern[str]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files whose full name matches, with their status. Blocks. Raise OSError."""
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            found = file.lstat()
            if _matches(file, found, named):
                yield file, found
