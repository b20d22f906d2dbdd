"""Databases of earlier versions are brought to the current schema, on both databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from helpers.databases import Place
from helpers.postgres import Postgres

from streaming_server.errors import EngineFailure
from streaming_server.storage.configuration import ConfigurationStore
from streaming_server.storage.history import Journal
from streaming_server.storage.jobs import Jobs
from streaming_server.storage.migrations import MIGRATIONS
from streaming_server.storage.objects import FolderObjects
from streaming_server.storage.outputs import OutputFolder
from streaming_server.storage.postgresql import PostgresDatabase
from streaming_server.storage.pronunciations import PronunciationStore
from streaming_server.storage.sqlite import FILE_NAME, SqliteDatabase
from streaming_server.storage.voices import VoiceStore

EARLIER = (Path(__file__).parent / "schema_5.sql").read_text()
"""A database as the version before SQLAlchemy left it, dumped by sqlite3's `iterdump`."""


def test_a_file_of_the_version_before_sqlalchemy_keeps_everything(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.executescript(EARLIER)
        connection.execute("PRAGMA user_version = 5")
    with closing(SqliteDatabase(tmp_path)) as database:
        voices = VoiceStore(database, FolderObjects(tmp_path / "prompts"), tmp_path / "tmp")
        assert voices.voice("reader").voice_sample == "ann"
        assert voices.voice("reader").seed == 2**63 - 1
        sample = voices.voice_sample("ann")
        assert (sample.transcript, sample.waveform, sample.mark) == ("Good morning.", (0, 7, -3), "9 bytes")
        assert ConfigurationStore(database).get() == {"debug_mode": True}
        assert [entry.word for entry in PronunciationStore(database).get()] == ["GIF", "Ünïcode"]
        entries, total = Journal(database, OutputFolder(tmp_path / "outputs", 2**20), "test").list()
        assert ([entry.text for entry in entries], total) == (["Hello «there»."], 1)
        jobs = Jobs(database, FolderObjects(tmp_path / "jobs"), "test")
        assert [(job.status, job.request["text"]) for job in jobs.list()] == [
            ("pending", "Second."),
            ("processing", "First."),
        ]
        assert jobs.recover().interrupted == 1
        first = jobs.list("interrupted")[0]
        assert jobs.retry(first.id).status == "pending"
        assert [job.request["text"] for job in (jobs.next(), jobs.next()) if job] == ["Second.", "First."]


def test_postgresql_is_brought_from_any_earlier_schema_to_the_current_one(
    postgres: Postgres, tmp_path: Path
) -> None:
    place = Place(tmp_path, postgres.schema_url())
    assert place.url is not None
    for count in range(len(MIGRATIONS) + 1):
        PostgresDatabase(place.url, "test", MIGRATIONS[:count]).close()
    with place.opened() as database:
        assert Jobs(database, FolderObjects(tmp_path / "jobs"), "test").next() is None


def test_postgresql_of_a_newer_version_is_rejected(postgres: Postgres) -> None:
    url = postgres.schema_url()
    PostgresDatabase(url, "test", (*MIGRATIONS, "CREATE TABLE later (x TEXT);")).close()
    with pytest.raises(EngineFailure, match="written by a newer version"):
        PostgresDatabase(url, "test")


def test_a_failed_migration_of_postgresql_changes_nothing(postgres: Postgres) -> None:
    url = postgres.schema_url()
    with pytest.raises(Exception, match="already exists"):
        PostgresDatabase(url, "test", (*MIGRATIONS, "CREATE TABLE jobs (x TEXT);"))
    PostgresDatabase(url, "test").close()
