"""The pronunciation list in force."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from streaming_server.errors import BadValue
from streaming_server.storage.pronunciations import PronunciationStore, StoredPronunciation
from streaming_server.text.pronunciations import Pronunciation, Pronunciations


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
        in_force = _in_force(entries)
        with self._lock:
            self._store.put(entries)
            self.now, self.entries = in_force, entries


def _in_force(entries: tuple[StoredPronunciation, ...]) -> Pronunciations:
    """Raise BadValue for an invalid word, one without a pronunciation, or a duplicate."""
    languages: dict[str, dict[str, Pronunciation]] = {}
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        key = entry.language.lower(), entry.word.casefold()
        if key in seen:
            raise BadValue(f"{entry.word!r} is in the list twice.", field="word")
        seen.add(key)
        said = Pronunciation(entry.respelling, entry.ipa)
        languages.setdefault(entry.language.lower(), {})[entry.word] = said
    return Pronunciations(languages)
