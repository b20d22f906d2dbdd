"""The SQLite database of a data directory."""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streaming_server.errors import BadValue, EngineFailure, StorageFailure

FILE_NAME = "server.sqlite3"

BUSY_TIMEOUT_S = 5.0
"""Seconds a transaction waits for another program that has locked the file."""

_VOICE_SAMPLES_VOICES_CONFIGURATION = """
CREATE TABLE prompts (
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    duration_s REAL NOT NULL,
    sample_rate INTEGER NOT NULL,
    original_format TEXT NOT NULL,
    original_sample_rate INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    warnings TEXT NOT NULL,
    waveform TEXT NOT NULL,
    transcript TEXT,
    transcript_source TEXT,
    transcript_language TEXT,
    transcript_language_probability REAL,
    transcript_findings TEXT NOT NULL,
    discovered_at TEXT NOT NULL
);
CREATE INDEX prompts_by_content ON prompts (sha256);
CREATE TABLE voices (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    style TEXT NOT NULL,
    primary_speaker TEXT NOT NULL,
    prompt TEXT REFERENCES prompts (id) ON DELETE RESTRICT,
    transcript TEXT,
    temperature REAL,
    cfg_scale REAL,
    top_p REAL,
    seed INTEGER,
    speed REAL
);
CREATE INDEX voices_by_prompt ON voices (prompt);
CREATE TABLE configuration (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    value TEXT NOT NULL
);
"""

_JOBS_JOURNAL = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    request TEXT NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    utterances INTEGER NOT NULL DEFAULT 0,
    audio_s REAL NOT NULL DEFAULT 0,
    error_code TEXT,
    error_message TEXT,
    file TEXT
);
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE TABLE journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    made_at REAL NOT NULL,
    text TEXT NOT NULL,
    voice TEXT NOT NULL,
    prompt TEXT,
    took_s REAL NOT NULL,
    audio_s REAL NOT NULL,
    file TEXT,
    file_size INTEGER
);
CREATE INDEX journal_by_voice ON journal (voice, number);
"""

_VOICE_SAMPLE_MARK = "ALTER TABLE prompts ADD COLUMN mark TEXT;"

_VOICE_LANGUAGE = "ALTER TABLE voices ADD COLUMN language TEXT;"

_PRONUNCIATIONS = """
CREATE TABLE pronunciations (
    number INTEGER PRIMARY KEY,
    language TEXT NOT NULL,
    word TEXT NOT NULL,
    respelling TEXT,
    ipa TEXT
);
"""

MIGRATIONS: tuple[str, ...] = (
    _VOICE_SAMPLES_VOICES_CONFIGURATION,
    _JOBS_JOURNAL,
    _VOICE_SAMPLE_MARK,
    _VOICE_LANGUAGE,
    _PRONUNCIATIONS,
)
"""Scripts that bring an empty file to the current schema.

`user_version` counts those applied to a file. Append only; never edit one. Every statement ends with a
semicolon at the end of a line.
"""


class Database:
    """The file `server.sqlite3` of a data directory, created and migrated when it is opened.

    Every call blocks for as long as the disk takes; threads share it and take turns. A transaction is on the
    disk when it ends (WAL, `synchronous=FULL`).

    Raise EngineFailure for a file that is damaged or written by a newer version; StorageFailure if the disk
    is full, read-only or failing, or another program keeps the file locked.
    """

    def __init__(self, data_dir: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        self._lock = threading.RLock()
        with storage_errors():
            data_dir.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                data_dir / FILE_NAME, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            self._prepare(migrations)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        with self._lock, storage_errors():
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """Commit what the block does with the cursor, or, if it raises, roll it back. Do not nest.

        Other threads and programs cannot write during the block. Rows are indexed by column name.
        """
        with self._begin("BEGIN IMMEDIATE") as cursor:
            yield cursor

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Cursor]:
        """Read a consistent snapshot. Works on a full or read-only disk."""
        with self._begin("BEGIN") as cursor:
            yield cursor

    @contextmanager
    def _begin(self, statement: str) -> Iterator[sqlite3.Cursor]:
        with self._lock, storage_errors():
            cursor = self._connection.cursor()
            cursor.execute(statement)
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                # After some errors SQLite has rolled back already.
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")
                raise
            finally:
                cursor.close()

    def _prepare(self, migrations: Sequence[str]) -> None:
        with storage_errors():
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
        with self.reading() as cursor:
            found = _version(cursor)
        if found > len(migrations):
            raise EngineFailure(
                f"The data directory was written by a newer version of this server (schema {found}, this one "
                f"supports {len(migrations)}); upgrade the server, or choose another with --data-dir."
            )
        for number, script in enumerate(migrations[found:], found + 1):
            with self.transaction() as cursor:
                # Another process may have migrated it since.
                if _version(cursor) < number:
                    for statement in _statements(script):
                        cursor.execute(statement)
                    cursor.execute(f"PRAGMA user_version = {number}")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Translate errors of SQLite and the system to StorageFailure, EngineFailure or BadValue."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        if (translated := _of_sqlite(error)) is None:
            raise
        raise translated from error
    except OSError as error:
        raise _of_system(error) from error
    except UnicodeEncodeError as error:
        raise BadValue("The text contains an unpaired surrogate.") from error


def _of_sqlite(error: sqlite3.DatabaseError) -> StorageFailure | EngineFailure | None:
    # The low byte is the primary result code.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StorageFailure("The disk is full; nothing was changed.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StorageFailure("The data directory is not writable; nothing was changed.")
        case sqlite3.SQLITE_IOERR:
            return StorageFailure("The disk is full or failing; nothing was changed.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageFailure("Another program keeps the database busy; nothing was changed.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return EngineFailure("The database is damaged; restore the data directory from a backup.")
    return None


def _of_system(error: OSError) -> StorageFailure:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return StorageFailure("The disk is full; nothing was changed.")
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return StorageFailure("The data directory is not writable; nothing was changed.")
    return StorageFailure("The disk is failing; nothing was changed.")


def _version(cursor: sqlite3.Cursor) -> int:
    version: int = cursor.execute("PRAGMA user_version").fetchone()[0]
    return version


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    # A last statement without a semicolon must not be skipped silently.
    if statement.strip():
        yield statement
