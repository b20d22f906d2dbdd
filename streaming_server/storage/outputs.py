"""Copies of generated speech, kept in a folder of bounded size.

Everything here blocks on the disk: call it from a thread.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import structlog

from streaming_server.errors import StorageFailure
from streaming_server.storage.database import storage_errors
from streaming_server.storage.files import discard, regular_files, remove_older

_NAME = re.compile(r"\d{8}_\d{6}_[0-9a-f]{8}(_.+)?\.\w+")
"""Names given by `OutputFolder.create`. Dia's own server appended the voice."""

TRIM_TO = 0.9
"""Share of the limit that is left when the oldest files are deleted, so that not every write deletes one."""

log = structlog.stdlib.get_logger(__name__)


class OutputFolder:
    """The folder of outputs. The oldest are deleted when together they exceed `max_bytes`.

    Raise StorageFailure.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.directory = directory
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._unfinished: dict[Path, int] = {}
        with storage_errors():
            directory.mkdir(parents=True, exist_ok=True)
            self._kept_bytes = sum(found.st_size for _, found in self._kept())

    def create(self, extension: str) -> OutputFile:
        """Begin a new output."""
        now = time.strftime("%Y%m%d_%H%M%S", time.localtime())
        path = self.directory / f"{now}_{secrets.token_hex(4)}.{extension}"
        with self._lock:
            self._unfinished[path] = 0
        return OutputFile(path, self)

    def reserve(self, path: Path, size: int) -> None:
        """Make room for that many more bytes of an output. Raise StorageFailure if there is none."""
        with self._lock:
            wanted = sum(self._unfinished.values()) + size
            if self._kept_bytes + wanted > self._max_bytes:
                self._trim(int(self._max_bytes * TRIM_TO) - wanted)
            if self._kept_bytes + wanted > self._max_bytes:
                raise StorageFailure("The copy would exceed --max-output-bytes.")
            self._unfinished[path] += size

    def finish(self, path: Path, *, kept: bool) -> None:
        """Note that an output is complete, or was deleted. Idempotent."""
        with self._lock:
            size = self._unfinished.pop(path, 0)
            self._kept_bytes += size if kept else 0

    def delete(self, path: Path) -> None:
        """Delete a complete output, if it still exists. Raise StorageFailure."""
        with self._lock, storage_errors(), suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            self._kept_bytes -= size

    def expire(self, before: float) -> int:
        """Delete the outputs last written before a time. Return how many. Raise StorageFailure."""
        with self._lock, storage_errors():
            try:
                return remove_older(self.directory, before, _NAME)
            finally:
                self._kept_bytes = sum(found.st_size for _, found in self._kept())

    def _kept(self) -> list[tuple[Path, os.stat_result]]:
        """Return the complete outputs, oldest first."""
        files = [each for each in regular_files(self.directory, _NAME) if each[0] not in self._unfinished]
        return sorted(files, key=lambda each: each[1].st_mtime)

    def _trim(self, target: int) -> None:
        """Delete the oldest complete outputs until those that stay take up at most `target` bytes."""
        with storage_errors():
            files = self._kept()
        self._kept_bytes = sum(found.st_size for _, found in files)
        for file, found in files:
            if self._kept_bytes <= target:
                break
            with suppress(OSError):
                file.unlink(missing_ok=True)
                self._kept_bytes -= found.st_size


class OutputFile:
    """A copy of speech, written while it is spoken.

    A failing disk costs the copy, not the speech: the failure is logged, and `keep` returns None.
    """

    def __init__(self, path: Path, folder: OutputFolder) -> None:
        self._path = path
        self._folder = folder
        self._file: IO[bytes] | None = None
        try:
            with storage_errors():
                self._file = path.open("wb")
        except StorageFailure as error:
            self._give_up(error)

    def append(self, data: bytes) -> None:
        if self._file is not None:
            try:
                self._folder.reserve(self._path, len(data))
                with storage_errors():
                    self._file.write(data)
            except StorageFailure as error:
                self._give_up(error)

    def keep(self, head: bytes = b"") -> Path | None:
        """Finish the copy and return its path. head: replaces the start, which held no length yet."""
        if self._file is None:
            return None
        try:
            with storage_errors():
                self._file.seek(0)
                self._file.write(head)
                self._file.close()
        except StorageFailure as error:
            self._give_up(error)
            return None
        self._file = None
        self._folder.finish(self._path, kept=True)
        return self._path

    def discard(self) -> None:
        """Delete the copy unless it was kept."""
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):
                file.close()
            discard(self._path)
            self._folder.finish(self._path, kept=False)

    def _give_up(self, error: StorageFailure) -> None:
        log.warning("cannot keep a copy of the speech", reason=error.message)
        self.discard()
        self._folder.finish(self._path, kept=False)
