"""The pronunciation list in force is the one that was put last."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from threading import Thread

from streaming_server.storage.pronunciations import PronunciationStore, StoredPronunciation
from streaming_server.storage.sqlite import SqliteDatabase
from streaming_server.voices.pronunciations import PronunciationList


def test_a_list_put_while_the_stored_one_is_loaded_is_in_force(tmp_path: Path) -> None:
    class Overtaken(PronunciationStore):
        """A store in which another thread puts a list right after this one has read it."""

        def get(self) -> list[StoredPronunciation]:
            found = super().get()
            putting.start()
            putting.join(0.5)  # It may have to wait until the stored list is in force.
            return found

    entry = StoredPronunciation("en", "GIF", "jif")
    with closing(SqliteDatabase(tmp_path)) as database:
        words = PronunciationList(Overtaken(database))
        putting = Thread(target=words.put, args=([entry],))
        words.load()
        putting.join()
    assert words.entries == (entry,)
