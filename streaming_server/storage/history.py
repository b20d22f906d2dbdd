"""The journal: what was generated, and which copies were kept of it.

Everything here blocks on the disk: call it from a thread.
"""

from __future__ import annotations

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row

from streaming_server.errors import UnknownEntry
from streaming_server.storage.database import Database, storage_errors
from streaming_server.storage.outputs import OutputFolder


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One generation. made_at: seconds since 1970. file: the copy that was kept, if any."""

    id: str
    made_at: float
    text: str
    voice: str
    voice_sample: str | None
    took_s: float
    audio_s: float
    file: Path | None
    file_size: int | None


class Journal:
    """The table of generations. Outputs exist without an entry where only copies are kept."""

    def __init__(self, database: Database, outputs: OutputFolder) -> None:
        self._database = database
        self._outputs = outputs

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
        """Raise StorageFailure."""
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
        """Return the latest entries, of one voice or of all, newest first; and how many there are in all."""
        with self._database.reading() as cursor:
            rows = cursor.execute(
                "SELECT * FROM journal WHERE ?1 IS NULL OR voice = ?1 ORDER BY number DESC LIMIT ?2",
                (voice, limit),
            ).fetchall()
            total: int = cursor.execute("SELECT count(*) FROM journal").fetchone()[0]
        return [self._entry(row) for row in rows], total

    def get(self, entry_id: str) -> JournalEntry:
        """Raise UnknownEntry."""
        with self._database.reading() as cursor:
            row = cursor.execute("SELECT * FROM journal WHERE id = ?", (entry_id,)).fetchone()
        if row is None:
            raise UnknownEntry("No journal entry has this id.")
        return self._entry(row)

    def delete(self, entry_id: str) -> None:
        """Delete an entry and its file. Raise UnknownEntry, StorageFailure."""
        entry = self.get(entry_id)
        with self._database.transaction() as cursor:
            cursor.execute("DELETE FROM journal WHERE id = ?", (entry_id,))
        if entry.file is not None:
            self._outputs.delete(entry.file)

    def expire(self, before: float) -> int:
        """Delete what was made before a time. Return how many files and entries were deleted.

        Files go first, which may be what fills the disk. Raise StorageFailure.
        """
        removed = 0
        try:
            removed = self._outputs.expire(before)
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
            file=self._outputs.directory / row["file"] if row["file"] is not None else None,
            file_size=row["file_size"],
        )


def _size(file: Path | None) -> int | None:
    """Return the size of a file, or None if it does not exist. Raise StorageFailure."""
    if file is None:
        return None
    with storage_errors(), suppress(FileNotFoundError):
        return file.stat().st_size
    return None
