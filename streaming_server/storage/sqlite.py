"""The SQLite database of a data directory."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from streaming_server.errors import EngineFailure, SpeechError, StorageFailure
from streaming_server.storage.database import storage_errors
from streaming_server.storage.migrations import MIGRATIONS, statements
from streaming_server.storage.transaction import ConnectionTransaction

FILE_NAME = "server.sqlite3"

BUSY_TIMEOUT_S = 5.0
"""Seconds a transaction waits for another program that has locked the file."""

SERIAL = "INTEGER PRIMARY KEY AUTOINCREMENT"


class SqliteDatabase:
    """The file `server.sqlite3` of a data directory, created and migrated when it is opened.

    See `Database`. Threads take turns on one connection. A transaction is on the disk when it ends (WAL,
    `synchronous=FULL`).

    Raise EngineFailure for a file that is damaged or written by a newer version; StorageFailure also if
    another program keeps the file locked.
    """

    shared = False
    clock = "clock()"
    skip_locked = ""

    def __init__(self, data_dir: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        self._lock = threading.RLock()
        self._file = data_dir / FILE_NAME
        with _errors():
            data_dir.mkdir(parents=True, exist_ok=True)
            self._engine = create_engine("sqlite://", creator=self._connect, poolclass=StaticPool)
            self._connection = self._engine.connect()
        try:
            self._migrate(migrations)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with self._lock, _errors():
            self._connection.close()
            self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[ConnectionTransaction]:
        """Other threads and programs cannot write during the block."""
        with self._begin("BEGIN IMMEDIATE") as connection:
            yield ConnectionTransaction(connection)

    exclusive = transaction

    @contextmanager
    def reading(self) -> Iterator[ConnectionTransaction]:
        with self._begin("BEGIN") as connection:
            yield ConnectionTransaction(connection)

    @contextmanager
    def _begin(self, statement: str) -> Iterator[Connection]:
        with self._lock, _errors(), self._connection.begin():
            # The driver begins no transactions, as `isolation_level` is None; it commits and rolls back.
            self._connection.exec_driver_sql(statement)
            yield self._connection

    def _connect(self) -> sqlite3.Connection:
        """Open the file. The pragmas hold for the connection or, of the journal, for the file."""
        connection = sqlite3.connect(
            self._file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.create_function("clock", 0, time.time)  # SQLite's own counts milliseconds.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, migrations: Sequence[str]) -> None:
        with self._begin("BEGIN") as connection:
            found = _version(connection)
        if found > len(migrations):
            raise EngineFailure(
                f"The data directory was written by a newer version of this server (schema {found}, this one "
                f"supports {len(migrations)}); upgrade the server, or choose another with --data-dir."
            )
        for number, script in enumerate(migrations[found:], found + 1):
            with self._begin("BEGIN IMMEDIATE") as connection:
                # Another process may have migrated it since.
                if _version(connection) < number:
                    for statement in statements(script.replace("$SERIAL", SERIAL)):
                        connection.exec_driver_sql(statement)
                    connection.exec_driver_sql(f"PRAGMA user_version = {number}")


@contextmanager
def _errors() -> Iterator[None]:
    """Translate errors of SQLite and the system to StorageFailure, EngineFailure or BadValue."""
    with storage_errors():
        try:
            yield
        except sqlite3.DatabaseError as error:  # From opening the file.
            if (translated := _translated(error)) is None:
                raise
            raise translated from error
        except DBAPIError as error:
            if (translated := _translated(error.orig)) is None:
                raise
            raise translated from error


def _translated(error: BaseException | None) -> SpeechError | None:
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


def _version(connection: Connection) -> int:
    version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    return version
