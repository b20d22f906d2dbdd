"""The journal: what was generated, and which copies were kept of it.

Everything here blocks on the disk: call it from a thread.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streaming_server.errors import UnknownEntry
from streaming_server.storage.database import Database, Row, storage_errors
from streaming_server.storage.outputs import OutputFolder

_ID = re.compile(r"[0-9a-f]{32}")


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
    """The table of generations, of all servers that share the database.

    Outputs exist without an entry where only copies are kept. They stay on the server that made them, each
    within its own limit: on another one an entry has no file. node: the name of this server.
    """

    def __init__(self, database: Database, outputs: OutputFolder, node: str) -> None:
        self._database = database
        self._node = node
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
        with self._database.transaction() as transaction:
            transaction.execute(
                "INSERT INTO journal (id, made_at, text, voice, prompt, took_s, audio_s, file, file_size,"
                f" node) VALUES (:id, {self._database.clock}, :text, :voice, :prompt, :took_s, :audio_s,"
                " :file, :file_size, :node)",
                id=secrets.token_hex(16),
                text=text,
                voice=voice,
                prompt=voice_sample,
                took_s=took_s,
                audio_s=audio_s,
                file=file.name if size is not None and file is not None else None,
                file_size=size,
                node=self._node,
            )

    def list(self, voice: str | None = None, limit: int = 50) -> tuple[list[JournalEntry], int]:
        """Return the latest entries, of one voice or of all, newest first; and how many there are in all."""
        chosen = "WHERE voice = :voice" if voice is not None else ""
        values = {"voice": voice} if voice is not None else {}
        with self._database.reading() as transaction:
            rows = transaction.rows(
                f"SELECT * FROM journal {chosen} ORDER BY number DESC LIMIT :limit", limit=limit, **values
            )
            counted = transaction.row("SELECT count(*) AS entries FROM journal")
        return [self._entry(row) for row in rows], counted["entries"] if counted is not None else 0

    def get(self, entry_id: str) -> JournalEntry:
        """Raise UnknownEntry."""
        if not _ID.fullmatch(entry_id):
            raise UnknownEntry("No journal entry has this id.")
        with self._database.reading() as transaction:
            row = transaction.row("SELECT * FROM journal WHERE id = :id", id=entry_id)
        if row is None:
            raise UnknownEntry("No journal entry has this id.")
        return self._entry(row)

    def delete(self, entry_id: str) -> None:
        """Delete an entry and its file. Raise UnknownEntry, StorageFailure."""
        entry = self.get(entry_id)
        with self._database.transaction() as transaction:
            transaction.execute("DELETE FROM journal WHERE id = :id", id=entry_id)
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
            with self._database.transaction() as transaction:
                # By the database's clock, as the clocks of servers may differ.
                removed += transaction.execute(
                    f"DELETE FROM journal WHERE made_at < {self._database.clock} - :age",
                    age=time.time() - before,
                )
        return removed

    def _entry(self, row: Row) -> JournalEntry:
        has_file = row["file"] is not None and row["node"] in (None, self._node)
        return JournalEntry(
            id=row["id"],
            made_at=row["made_at"],
            text=row["text"],
            voice=row["voice"],
            voice_sample=row["prompt"],
            took_s=row["took_s"],
            audio_s=row["audio_s"],
            file=self._outputs.directory / row["file"] if has_file else None,
            file_size=row["file_size"],
        )


def _size(file: Path | None) -> int | None:
    """Return the size of a file, or None if it does not exist. Raise StorageFailure."""
    if file is None:
        return None
    with storage_errors(), suppress(FileNotFoundError):
        return file.stat().st_size
    return None
