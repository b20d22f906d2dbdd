"""The two databases that a store can have."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from streaming_server.storage.database import Database
from streaming_server.storage.postgresql import PostgresDatabase
from streaming_server.storage.sqlite import FILE_NAME, SqliteDatabase


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory and its database, which is SQLite's without a URL."""

    data: Path
    url: str | None = None

    def open(self) -> Database:
        return SqliteDatabase(self.data) if self.url is None else PostgresDatabase(self.url, "test")

    @contextmanager
    def opened(self) -> Iterator[Database]:
        with closing(self.open()) as database:
            yield database


@contextmanager
def locked_jobs(place: Place) -> Iterator[None]:
    """Another program reads and writes the jobs: statements that change one time out."""
    if place.url is not None:
        with psycopg.connect(place.url) as other:
            other.execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
            yield
            other.rollback()
        return
    with closing(sqlite3.connect(place.data / FILE_NAME, isolation_level=None)) as one:
        one.execute("BEGIN IMMEDIATE")
        yield
