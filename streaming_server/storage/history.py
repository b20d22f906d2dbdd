"""The journal: what was generated, and the files that are kept of it.

Everything here blocks on the disk: call it from a thread.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row
from typing import IO

import structlog

from streaming_server.errors import StorageFailure, UnknownEntry
from streaming_server.storage.database import Database, storage_errors
from streaming_server.storage.files import remove_older

_OUTPUT = re.compile(r"\d{8}_\d{6}_[0-9a-f]{8}(_.+)?\.\w+")
"""As `Journal.new_file` names them; the earlier server put the voice behind."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One generation. made_at: seconds since 1970. file: what was kept of it, if anything."""

    id: str
    made_at: float
    text: str
    voice: str
    voice_sample: str | None
    took_s: float
    audio_s: float
    file: Path | None
    file_size: int | None


class OutputFile:
    """A copy of speech, written while it is spoken.

    A disk that fails costs the copy and not the speech: that is logged, and `keep` gives None.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        try:
            with storage_errors():
                self._file = path.open("wb")
        except StorageFailure as error:
            self._give_up(error)

    def append(self, data: bytes) -> None:
        if self._file is not None:
            try:
                with storage_errors():
                    self._file.write(data)
            except StorageFailure as error:
                self._give_up(error)

    def keep(self, head: bytes = b"") -> Path | None:
        """All of it was spoken. head: written over the start, where the length was not known then."""
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
        return self._path

    def discard(self) -> None:
        """Part of it was spoken. Without effect on what is kept."""
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _give_up(self, error: StorageFailure) -> None:
        log.warning("an output could not be kept", reason=error.message)
        self.discard()


class Journal:
    """The table of generations and the folder of outputs. A file may lie there without an entry."""

    def __init__(self, database: Database, directory: Path) -> None:
        self._database = database
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def new_file(self, extension: str) -> Path:
        """Where to write an output."""
        now = time.strftime("%Y%m%d_%H%M%S", time.localtime())
        return self._directory / f"{now}_{secrets.token_hex(4)}.{extension}"

    def add(
        self,
        *,
        text: str,
        voice: str,
        voice_sample: str | None,
        took_s: float,
        audio_s: float,
        file: Path | None,
    ) -> None:
        """Raises StorageFailure."""
        size = _size(file)
        with self._database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO journal (id, made_at, text, voice, prompt, took_s, audio_s, file, file_size)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    secrets.token_hex(16),
                    time.time(),
                    text,
                    voice,
                    voice_sample,
                    took_s,
                    audio_s,
                    file.name if size is not None and file is not None else None,
                    size,
                ),
            )

    def list(self, voice: str | None = None, limit: int = 50) -> tuple[list[JournalEntry], int]:
        """The latest of a voice, or of all, newest first; and how many there are in all."""
        with self._database.reading() as cursor:
            rows = cursor.execute(
                "SELECT * FROM journal WHERE ?1 IS NULL OR voice = ?1 ORDER BY number DESC LIMIT ?2",
                (voice, limit),
            ).fetchall()
            total: int = cursor.execute("SELECT count(*) FROM journal").fetchone()[0]
        return [self._entry(row) for row in rows], total

    def get(self, entry_id: str) -> JournalEntry:
        """Raises UnknownEntry."""
        with self._database.reading() as cursor:
            row = cursor.execute("SELECT * FROM journal WHERE id = ?", (entry_id,)).fetchone()
        if row is None:
            raise UnknownEntry("The journal has no such entry.")
        return self._entry(row)

    def delete(self, entry_id: str) -> None:
        """An entry and its file. Raises UnknownEntry."""
        entry = self.get(entry_id)
        with self._database.transaction() as cursor:
            cursor.execute("DELETE FROM journal WHERE id = ?", (entry_id,))
        if entry.file is not None:
            with storage_errors():
                entry.file.unlink(missing_ok=True)

    def expire(self, before: float) -> int:
        """Remove what was made before a time, entries and files; how many of both.

        The files first, as they may be what fills the disk. Raises StorageFailure.
        """
        removed = 0
        try:
            with storage_errors():
                removed = remove_older(self._directory, before, _OUTPUT)
        finally:
            with self._database.transaction() as cursor:
                removed += cursor.execute("DELETE FROM journal WHERE made_at < ?", (before,)).rowcount
        return removed

    def _entry(self, row: Row) -> JournalEntry:
        return JournalEntry(
            id=row["id"],
            made_at=row["made_at"],
            text=row["text"],
            voice=row["voice"],
            voice_sample=row["prompt"],
            took_s=row["took_s"],
            audio_s=row["audio_s"],
            file=self._directory / row["file"] if row["file"] is not None else None,
            file_size=row["file_size"],
        )


def _size(file: Path | None) -> int | None:
    """None where there is no file, or by now none any more. Raises StorageFailure."""
    if file is None:
        return None
    with storage_errors(), suppress(FileNotFoundError):
        return file.stat().st_size
    return None
