"""The file outlives kills, full disks and upgrades; whoever opens it learns what is wrong with it."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.disks import files_limited_to, small_disk

from streaming_server.errors import BadValue, EngineFailure, SpeechError, StorageFailure
from streaming_server.storage.database import FILE_NAME, MIGRATIONS, Database, storage_errors

NOTES = "CREATE TABLE notes (text TEXT NOT NULL);\nCREATE TABLE more (\n    text TEXT\n);\n"
TRIGGER = """
CREATE TRIGGER echo AFTER INSERT ON notes BEGIN
    INSERT INTO more VALUES (new.text);
END;
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(tmp_path, (NOTES,))
    yield one
    one.close()


def note(database: Database, text: str) -> None:
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO notes VALUES (?)", (text,))


def notes(database: Database) -> list[str]:
    with database.reading() as cursor:
        return [row["text"] for row in cursor.execute("SELECT text FROM notes")]


def pragma(database: Database, name: str) -> object:
    with database.reading() as cursor:
        return cursor.execute(f"PRAGMA {name}").fetchone()[0]


def test_is_made_with_its_folder_and_kept_as_safely_as_sqlite_can(tmp_path: Path) -> None:
    database = Database(tmp_path / "not" / "yet")
    assert (tmp_path / "not" / "yet" / FILE_NAME).is_file()
    assert pragma(database, "journal_mode") == "wal"
    assert pragma(database, "synchronous") == 2
    assert pragma(database, "foreign_keys") == 1
    assert pragma(database, "busy_timeout") == 5000
    assert pragma(database, "user_version") == len(MIGRATIONS)
    database.close()


def test_what_a_transaction_wrote_is_there_for_the_next_to_open_it(
    tmp_path: Path, database: Database
) -> None:
    note(database, "kept")
    database.close()
    again = Database(tmp_path, (NOTES,))
    assert notes(again) == ["kept"]
    again.close()


def test_a_transaction_that_raises_has_changed_nothing(database: Database) -> None:
    with pytest.raises(BadValue), database.transaction() as cursor:
        cursor.execute("INSERT INTO notes VALUES ('lost')")
        raise BadValue("not this one")
    assert notes(database) == []
    note(database, "the next one")
    assert notes(database) == ["the next one"]


def test_a_transaction_in_a_transaction_is_refused_and_the_outer_one_undone(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError), database.transaction() as cursor:
        cursor.execute("INSERT INTO notes VALUES ('lost')")
        note(database, "nested")
    assert notes(database) == []


def test_nobody_else_writes_during_a_transaction_that_has_only_read(
    tmp_path: Path, database: Database
) -> None:
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None, timeout=0)
    with database.transaction() as cursor:
        cursor.execute("SELECT text FROM notes").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO notes VALUES ('between')")
    other.close()


def test_threads_take_turns(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("INSERT INTO notes VALUES ('0')")

    def count() -> None:
        for _ in range(20):
            with database.transaction() as cursor:
                (before,) = cursor.execute("SELECT text FROM notes").fetchone()
                cursor.execute("UPDATE notes SET text = ?", (str(int(before) + 1),))

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes(database) == ["100"]


def test_an_older_file_is_brought_up_to_date_and_keeps_what_it_holds(
    tmp_path: Path, database: Database
) -> None:
    note(database, "from before")
    database.close()
    newer = Database(tmp_path, (NOTES, TRIGGER))
    assert pragma(newer, "user_version") == 2
    note(newer, "from after")
    assert notes(newer) == ["from before", "from after"]
    with newer.reading() as cursor:
        assert [row["text"] for row in cursor.execute("SELECT text FROM more")] == ["from after"]
    newer.close()


def test_a_migration_that_fails_leaves_the_file_at_the_last_that_did_not(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        Database(tmp_path, (NOTES, "CREATE TABLE third (x TEXT);\nCREATE TABLE notes (x TEXT);\n"))
    database = Database(tmp_path, (NOTES, "CREATE TABLE third (x TEXT);\n"))
    assert pragma(database, "user_version") == 2
    database.close()


def test_a_statement_without_its_semicolon_is_not_passed_over(tmp_path: Path) -> None:
    database = Database(tmp_path, ("CREATE TABLE other (x TEXT);\n" + NOTES.removesuffix(";\n"),))
    with database.reading() as cursor:
        tables = cursor.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
    assert [row["name"] for row in tables] == ["more", "notes", "other"]
    database.close()


def test_a_migration_that_another_program_made_first_is_not_made_again(tmp_path: Path) -> None:
    class Overtaken(tuple[str, ...]):
        """Migrations which, once the file's version has been looked up, another program applies."""

        def __getitem__(self, which: Any) -> Any:
            Database(tmp_path, tuple(self)).close()
            return super().__getitem__(which)

    database = Database(tmp_path, Overtaken((NOTES,)))
    assert pragma(database, "user_version") == 1
    database.close()


def test_a_file_of_a_newer_version_is_left_alone_with_a_sentence(tmp_path: Path) -> None:
    Database(tmp_path, (*MIGRATIONS, NOTES)).close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(EngineFailure, match="written by a newer version of this server"):
        Database(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"speech" * 1000)
    with pytest.raises(EngineFailure, match="damaged"):
        Database(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == b"speech" * 1000


def test_on_a_full_disk_a_write_fails_whole_and_reading_goes_on(tmp_path: Path, database: Database) -> None:
    note(database, "there")
    with files_limited_to((tmp_path / f"{FILE_NAME}-wal").stat().st_size):
        with pytest.raises(StorageFailure, match="full"):
            note(database, "much" * 10_000)
        assert notes(database) == ["there"]
    note(database, "room again")
    assert notes(database) == ["there", "room again"]
    assert pragma(database, "integrity_check") == "ok"


def test_a_disk_that_has_no_room_left(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        database = Database(tmp_path, (NOTES,))
        note(database, "there")
        with pytest.raises(StorageFailure, match="The disk is full"):
            note(database, "much" * 100_000)
        assert notes(database) == ["there"]
        database.close()


def test_a_disk_without_room_for_a_new_file(tmp_path: Path) -> None:
    with small_disk(tmp_path):
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "filler").write_bytes(bytes(1 << 20))
        with pytest.raises(StorageFailure, match="full"):
            Database(tmp_path)


def test_a_disk_that_cannot_be_written_to(tmp_path: Path) -> None:
    with small_disk(tmp_path, "ro"):
        with pytest.raises(StorageFailure, match="is not writable"):
            Database(tmp_path)


def test_a_disk_that_became_read_only_can_be_read(database: Database) -> None:
    note(database, "there")
    with database.reading() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageFailure, match="is not writable"):
        note(database, "not there")
    assert notes(database) == ["there"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StorageFailure):
        Database(tmp_path / "data")


def test_another_program_that_keeps_the_file_busy(tmp_path: Path, database: Database) -> None:
    pragma(database, "busy_timeout = 1")
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageFailure, match="busy"):
        note(database, "later")
    assert notes(database) == []
    other.close()
    note(database, "now")
    assert notes(database) == ["now"]


def test_text_that_no_file_can_hold(database: Database) -> None:
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
        (errno.EIO, "failing"),
    ],
)
def test_the_systems_errors_are_told_without_paths(number: int, sentence: str) -> None:
    with pytest.raises(StorageFailure, match=sentence) as caught, storage_errors():
        raise OSError(number, os.strerror(number), "/home/eve/voice.wav")
    assert "eve" not in caught.value.message
    assert caught.value.http_status == 507


def test_errors_of_our_own_pass_as_they_are() -> None:
    own = SpeechError("as it is")
    with pytest.raises(SpeechError) as caught, storage_errors():
        raise own
    assert caught.value is own
