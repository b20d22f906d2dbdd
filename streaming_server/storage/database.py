"""The SQLite file in which the server keeps what has to outlive it."""

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
"""How long a transaction waits for another program that holds the file."""

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

MIGRATIONS: tuple[str, ...] = (_VOICE_SAMPLES_VOICES_CONFIGURATION, _JOBS_JOURNAL, _VOICE_SAMPLE_MARK)
"""Scripts that bring an empty file to what this version knows.

A file's `user_version` counts those it has had. Appended to, never edited. Every statement ends with a
semicolon at the end of a line.
"""


class Database:
    """The file `server.sqlite3` of a data directory, made and brought up to date when it is opened.

    Every call blocks, for as long as a disk takes: from an event loop, call in a thread. Any thread may; they
    take turns at the one connection. What a transaction has written is on the disk when it ends (WAL,
    `synchronous=FULL`).

    Raises EngineFailure for a file written by a newer version or damaged, StorageFailure where the disk is
    full, read-only or failing, or another program keeps the file busy.
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
        """All of what is done with the cursor, or, if the block raises, none of it. Not to be nested.

        No other thread or program writes meanwhile. Rows answer to column names.
        """
        with self._begin("BEGIN IMMEDIATE") as cursor:
            yield cursor

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Cursor]:
        """The database at one moment. Works on a disk that has become full or read-only."""
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
                # SQLite has rolled back by itself after some errors.
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
                f"knows {len(migrations)}): upgrade the server, or give it another data directory."
            )
        for number, script in enumerate(migrations[found:], found + 1):
            with self.transaction() as cursor:
                # Another server may have been first.
                if _version(cursor) < number:
                    for statement in _statements(script):
                        cursor.execute(statement)
                    cursor.execute(f"PRAGMA user_version = {number}")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raises what SQLite and the system raise within as StorageFailure, EngineFailure or BadValue."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        if (told := _of_sqlite(error)) is None:
            raise
        raise told from error
    except OSError as error:
        raise _of_system(error) from error
    except UnicodeEncodeError as error:
        raise BadValue("A text holds half of a surrogate pair, which no text can.") from error


def _of_sqlite(error: sqlite3.DatabaseError) -> StorageFailure | EngineFailure | None:
    # The low byte is the error, the rest its shade.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StorageFailure("The disk is full: nothing was changed.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return StorageFailure("The data directory cannot be written to: nothing was changed.")
        case sqlite3.SQLITE_IOERR:
            return StorageFailure("The disk is full or failing: nothing was changed.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StorageFailure("Another program keeps the database busy: nothing was changed.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return EngineFailure("The database is damaged: put a backup of the data directory in its place.")
    return None


def _of_system(error: OSError) -> StorageFailure:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return StorageFailure("The disk is full: nothing was changed.")
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return StorageFailure("The data directory cannot be written to: nothing was changed.")
    return StorageFailure("The disk is failing: nothing was changed.")


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
    # A last statement without its semicolon: skipped, it would still count as made.
    if statement.strip():
        yield statement
