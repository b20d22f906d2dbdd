"""The stored pronunciation list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from streaming_server.storage.database import Database

TOPIC = "pronunciations"
"""Announced when the list is put."""


@dataclass(frozen=True, slots=True)
class StoredPronunciation:
    """A word and how to say it. language: a BCP 47 tag, or "" for every language."""

    language: str
    word: str
    respelling: str | None = None
    ipa: str | None = None


class PronunciationStore:
    """The whole list, in the order in which it was put. Every call blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> list[StoredPronunciation]:
        with self._database.reading() as transaction:
            rows = transaction.rows(
                "SELECT language, word, respelling, ipa FROM pronunciations ORDER BY number"
            )
        return [StoredPronunciation(**row) for row in rows]

    def put(self, entries: Iterable[StoredPronunciation]) -> None:
        """Replace the list. Raise StorageFailure."""
        with self._database.exclusive() as transaction:
            transaction.execute("DELETE FROM pronunciations")
            transaction.execute_many(
                "INSERT INTO pronunciations (number, language, word, respelling, ipa)"
                " VALUES (:number, :language, :word, :respelling, :ipa)",
                [{"number": number, **asdict(entry)} for number, entry in enumerate(entries)],
            )
            transaction.announce(TOPIC)
