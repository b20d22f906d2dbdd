"""The lock of the data directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from streaming_server.errors import EngineFailure


class DataLock:
    """An exclusive lock of a folder. Raise EngineFailure if another server holds it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise EngineFailure(
                f"Another server uses the data directory {folder}; choose another with --data-dir."
            ) from None

    def close(self) -> None:
        os.close(self._descriptor)
