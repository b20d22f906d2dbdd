"""The two databases that a store can have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from streaming_server.storage.database import Database
from streaming_server.storage.postgresql import PostgresDatabase
from streaming_server.storage.sqlite import SqliteDatabase


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
