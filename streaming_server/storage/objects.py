"""Recordings and results: files by name, each written once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from streaming_server.storage.database import storage_errors
from streaming_server.storage.files import ANY_NAME, move_whole, regular_files, sync_folder


class Objects(Protocol):
    """Files by name. A name is written once; its content never changes. Every call blocks.

    folder: on this machine, for unfinished files too. Raise StorageFailure if the disk is full, read-only or
    failing, StoreUnavailable if an object store cannot be reached.
    """

    folder: Path

    def path(self, name: str) -> Path:
        """Return where the file lies on this machine once it has been put or fetched."""

    def put(self, name: str, file: Path) -> None:
        """Store a complete file from the same disk, which is moved; it is durable afterwards."""

    def fetch(self, name: str, sha256: str | None = None) -> Path:
        """Return the file's path, fetching it if it is not on this machine.

        sha256: if given, of the content, which is checked when it is fetched. Raise FileNotFoundError, also
        if the content is damaged.
        """

    def exists(self, name: str) -> bool: ...

    def delete(self, name: str) -> None:
        """Delete the file, if it exists."""

    def forget(self, name: str) -> None:
        """Delete this machine's copy of a file that another server has deleted from an object store."""

    def names(self) -> set[str]:
        """Return the names of all files."""

    def remove(self, names: Iterable[str]) -> int:
        """Delete files and return how many; those that cannot be deleted stay."""


class FolderObjects:
    """The files of a folder of the data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        with storage_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder.parent)

    def path(self, name: str) -> Path:
        return self.folder / name

    def put(self, name: str, file: Path) -> None:
        with storage_errors():
            move_whole(file, self.path(name))

    def fetch(self, name: str, sha256: str | None = None) -> Path:
        path = self.path(name)
        if not self.exists(name):
            raise FileNotFoundError(name)
        return path

    def exists(self, name: str) -> bool:
        with storage_errors():
            return self.path(name).is_file()

    def delete(self, name: str) -> None:
        with storage_errors():
            self.path(name).unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """There are no copies."""

    def names(self) -> set[str]:
        with storage_errors():
            return {file.name for file, _ in regular_files(self.folder, ANY_NAME)}

    def remove(self, names: Iterable[str]) -> int:
        removed = 0
        for name in names:
            with suppress(OSError):
                self.path(name).unlink()
                removed += 1
        return removed
