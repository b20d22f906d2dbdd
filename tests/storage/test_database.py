"""The database survives kills, full disks and upgrades, and reports what is wrong with its file."""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.disks import files_limited_to, small_disk
from sqlalchemy.exc import InvalidRequestError, OperationalError

from streaming_server.errors import BadValue, EngineFailure, SpeechError, StorageFailure
from streaming_server.storage.database import Transaction, storage_errors
from streaming_server.storage.migrations import MIGRATIONS
from streaming_server.storage.sqlite import FILE_NAME, SqliteDatabase

NOTES = "CREATE TABLE notes (text TEXT NOT NULL);\nCREATE TABLE more (\n    text TEXT\n);\n"
TRIGGER = """
CREATE TRIGGER echo AFTER INSERT ON notes BEGIN
    INSERT INTO more VALUES (new.text);
END;
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    one = SqliteDatabase(tmp_path, (NOTES,))
    yield one
    one.close()


def note(database: SqliteDatabase, text: str) -> None:
    with database.transaction() as transaction:
        transaction.execute("INSERT INTO notes VALUES (:text)", text=text)


def notes(database: SqliteDatabase) -> list[str]:
    with database.reading() as transaction:
        return notes_in(transaction)


def notes_in(transaction: Transaction) -> list[str]:
    return [row["text"] for row in transaction.rows("SELECT text FROM notes")]


def pragma(database: SqliteDatabase, name: str) -> object:
    with database.reading() as transaction:
        row = transaction.row(f"PRAGMA {name}")
    assert row is not None
    return next(iter(row.values()))


def test_is_created_with_its_directory_and_full_durability(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "not" / "yet")
    assert (tmp_path / "not" / "yet" / FILE_NAME).is_file()
    assert pragma(database, "journal_mode") == "wal"
    assert pragma(database, "synchronous") == 2
    assert pragma(database, "foreign_keys") == 1
    assert pragma(database, "busy_timeout") == 5000
    assert pragma(database, "user_version") == len(MIGRATIONS)
    database.close()


def test_a_transaction_persists(tmp_path: Path, database: SqliteDatabase) -> None:
    note(database, "kept")
    database.close()
    again = SqliteDatabase(tmp_path, (NOTES,))
    assert notes(again) == ["kept"]
    again.close()


def test_a_transaction_that_raises_is_rolled_back(database: SqliteDatabase) -> None:
    with pytest.raises(BadValue), database.transaction() as transaction:
        transaction.execute("INSERT INTO notes VALUES ('lost')")
        raise BadValue("not this one")
    assert notes(database) == []
    note(database, "the next one")
    assert notes(database) == ["the next one"]


def test_a_nested_transaction_is_rejected_and_the_outer_one_rolled_back(database: SqliteDatabase) -> None:
    with pytest.raises(InvalidRequestError), database.transaction() as transaction:
        transaction.execute("INSERT INTO notes VALUES ('lost')")
        note(database, "nested")
    assert notes(database) == []


def test_a_transaction_excludes_writers_from_its_first_read(tmp_path: Path, database: SqliteDatabase) -> None:
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None, timeout=0)
    with database.transaction() as transaction:
        transaction.rows("SELECT text FROM notes")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO notes VALUES ('between')")
    other.close()


def test_threads_are_serialised(database: SqliteDatabase) -> None:
    with database.transaction() as transaction:
        transaction.execute("INSERT INTO notes VALUES ('0')")

    def count() -> None:
        for _ in range(20):
            with database.transaction() as transaction:
                before = notes_in(transaction)[0]
                transaction.execute("UPDATE notes SET text = :text", text=str(int(before) + 1))

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes(database) == ["100"]


def test_migrates_an_older_file_and_keeps_its_data(tmp_path: Path, database: SqliteDatabase) -> None:
    note(database, "from before")
    database.close()
    newer = SqliteDatabase(tmp_path, (NOTES, TRIGGER))
    assert pragma(newer, "user_version") == 2
    note(newer, "from after")
    assert notes(newer) == ["from before", "from after"]
    with newer.reading() as transaction:
        assert [row["text"] for row in transaction.rows("SELECT text FROM more")] == ["from after"]
    newer.close()


def test_a_failed_migration_leaves_the_previous_version(tmp_path: Path) -> None:
    with pytest.raises(OperationalError):
        SqliteDatabase(tmp_path, (NOTES, "CREATE TABLE third (x TEXT);\nCREATE TABLE notes (x TEXT);\n"))
    database = SqliteDatabase(tmp_path, (NOTES, "CREATE TABLE third (x TEXT);\n"))
    assert pragma(database, "user_version") == 2
    database.close()


def test_a_statement_without_a_semicolon_is_executed(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path, ("CREATE TABLE other (x TEXT);\n" + NOTES.removesuffix(";\n"),))
    with database.reading() as transaction:
        tables = transaction.rows("SELECT name FROM sqlite_schema ORDER BY name")
    assert [row["name"] for row in tables] == ["more", "notes", "other"]
    database.close()


def test_a_migration_applied_by_another_program_is_not_repeated(tmp_path: Path) -> None:
    class Overtaken(tuple[str, ...]):
        """Migrations that another program applies right after the file's version was read."""

        def __getitem__(self, which: Any) -> Any:
            SqliteDatabase(tmp_path, tuple(self)).close()
            return super().__getitem__(which)

    database = SqliteDatabase(tmp_path, Overtaken((NOTES,)))
    assert pragma(database, "user_version") == 1
    database.close()


def test_rejects_a_file_of_a_newer_version_and_leaves_it_unchanged(tmp_path: Path) -> None:
    SqliteDatabase(tmp_path, (*MIGRATIONS, NOTES)).close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(EngineFailure, match="written by a newer version of this server"):
        SqliteDatabase(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_rejects_a_file_that_is_not_a_database_and_leaves_it_unchanged(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"speech" * 1000)
    with pytest.raises(EngineFailure, match="damaged"):
        SqliteDatabase(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == b"speech" * 1000


def test_a_full_disk_fails_the_whole_write_and_allows_reads(tmp_path: Path, database: SqliteDatabase) -> None:
    note(database, "there")
    with files_limited_to((tmp_path / f"{FILE_NAME}-wal").stat().st_size):
        with pytest.raises(StorageFailure, match="full"):
            note(database, "much" * 10_000)
        assert notes(database) == ["there"]
    note(database, "room again")
    assert notes(database) == ["there", "room again"]
    assert pragma(database, "integrity_check") == "ok"


def test_reports_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        database = SqliteDatabase(tmp_path, (NOTES,))
        note(database, "there")
        with pytest.raises(StorageFailure, match="The disk is full"):
            note(database, "much" * 100_000)
        assert notes(database) == ["there"]
        database.close()


def test_reports_a_full_disk_when_creating_the_file(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "filler").write_bytes(bytes(1 << 20))
        with pytest.raises(StorageFailure, match="full"):
            SqliteDatabase(tmp_path)


def test_reports_a_read_only_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path, "ro"):
        with pytest.raises(StorageFailure, match="is not writable"):
            SqliteDatabase(tmp_path)


def test_a_disk_that_became_read_only_can_still_be_read(database: SqliteDatabase) -> None:
    note(database, "there")
    with database.reading() as transaction:
        transaction.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageFailure, match="is not writable"):
        note(database, "not there")
    assert notes(database) == ["there"]


def test_reports_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StorageFailure):
        SqliteDatabase(tmp_path / "data")


def test_reports_a_file_locked_by_another_program(tmp_path: Path, database: SqliteDatabase) -> None:
    pragma(database, "busy_timeout = 1")
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageFailure, match="busy"):
        note(database, "later")
    assert notes(database) == []
    other.close()
    note(database, "now")
    assert notes(database) == ["now"]


def test_rejects_text_that_cannot_be_stored(database: SqliteDatabase) -> None:
    with pytest.raises(BadValue):
        note(database, "\ud800")
    assert notes(database) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EFBIG, "The disk is full"),
        (errno.EROFS, "is not writable"),
        (errno.EACCES, "is not writable"),
        (errno.EIO, "cannot be used [(]Input/output error[)]; nothing was changed"),
        (errno.EMFILE, "cannot be used [(]Too many open files[)]; nothing was changed"),
        (None, "cannot be used [(]Input/output error[)]; nothing was changed"),
    ],
)
def test_system_errors_are_reported_without_paths(number: int | None, sentence: str) -> None:
    with pytest.raises(StorageFailure, match=sentence) as caught, storage_errors():
        raise OSError(number, "it failed", "/home/eve/voice.wav")
    assert "eve" not in caught.value.message
    assert caught.value.http_status == 507


def test_own_errors_are_not_wrapped() -> None:
    own = SpeechError("as it is")
    with pytest.raises(SpeechError) as caught, storage_errors():
        raise own
    assert caught.value is own
