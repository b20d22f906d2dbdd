"""A folder of results that is as slow as an object store can be."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from streaming_server.storage.objects import FolderObjects


class SlowToTell(FolderObjects):
    """Does not tell whether it has a file until it may. asked: set once somebody wants to know."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked, self.may_tell = Event(), Event()

    def exists(self, name: str) -> bool:
        self.asked.set()
        assert self.may_tell.wait(20)
        return super().exists(name)
