"""The pronunciation list in force."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from streaming_server.errors import BadValue
from streaming_server.storage.pronunciations import PronunciationStore, StoredPronunciation
from streaming_server.text.pronunciations import Pronunciation, Pronunciations, word_key


class PronunciationList:
    """The stored list, ready for use. `load` and `put` block; threads may share it."""

    def __init__(self, store: PronunciationStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.now = Pronunciations()
        self.entries: tuple[StoredPronunciation, ...] = ()

    def load(self) -> None:
        """Put the stored list in force."""
        with self._lock:  # A list read before a `put` must not replace it.
            entries = tuple(self._store.get())
            self.now, self.entries = _in_force(entries), entries

    def put(self, entries: Iterable[StoredPronunciation]) -> None:
        """Replace the list. It applies to text appended from now on. Raise BadValue, StorageFailure."""
        entries = tuple(entries)
        _check_distinct(entries)
        in_force = _in_force(entries)
        with self._lock:
            self._store.put(entries)
            self.now, self.entries = in_force, entries


def _check_distinct(entries: Iterable[StoredPronunciation]) -> None:
    """Raise BadValue for a duplicate."""
    places: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(entries):
        first = places.setdefault((entry.language.lower(), word_key(entry.word)), number)
        if first != number:
            raise BadValue(
                f"{entry.word!r} is in the list twice, first as pronunciations.{first}.",
                field=f"pronunciations.{number}.word",
            )


def _in_force(entries: Iterable[StoredPronunciation]) -> Pronunciations:
    """Raise BadValue for an invalid word or one without a pronunciation."""
    languages: dict[str, dict[str, Pronunciation]] = {}
    for entry in entries:
        said = Pronunciation(entry.respelling, entry.ipa)
        languages.setdefault(entry.language.lower(), {})[entry.word] = said
    return Pronunciations(languages)
