"""Previews: what each voice says of itself, kept once it was spoken."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import Lock, to_thread

from streaming_server.storage.database import storage_errors
from streaming_server.storage.files import remove_older

_PREVIEW = re.compile(r"[0-9a-f]{32}\.(wav|part)")


class Previews:
    """The folder of WAV files, each of a name of 32 hexadecimal digits."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._being_made: dict[str, Lock] = {}
        directory.mkdir(parents=True, exist_ok=True)

    async def get(self, name: str, speak: Callable[[], Awaitable[bytes]]) -> Path:
        """The file of that name; `speak` makes it if there is none, once for all who ask meanwhile.

        Raises StorageFailure, and what `speak` does.
        """
        file = self._directory / f"{name}.wav"
        if await to_thread.run_sync(_used, file):
            return file
        async with self._once(name):
            if not await to_thread.run_sync(_used, file):
                await to_thread.run_sync(_write, file, await speak())
        return file

    @asynccontextmanager
    async def _once(self, name: str) -> AsyncIterator[None]:
        """One after the other of those who want the same; the others do not wait for them."""
        lock = self._being_made.setdefault(name, Lock())
        try:
            async with lock:
                yield
        finally:
            if not (lock.locked() or lock.statistics().tasks_waiting):
                self._being_made.pop(name, None)

    def expire(self, before: float) -> int:
        """Remove those that nobody has listened to since a time; how many. Blocks. Raises StorageFailure."""
        with storage_errors():
            return remove_older(self._directory, before, _PREVIEW, read=True)


def _used(file: Path) -> bool:
    """Whether it is there; if so it is kept from now on for as long as a new one."""
    try:
        os.utime(file, (time.time(), file.stat().st_mtime))
    except FileNotFoundError:
        return False
    return True


def _write(file: Path, data: bytes) -> None:
    unfinished = file.with_suffix(".part")
    with storage_errors():
        unfinished.write_bytes(data)
        unfinished.replace(file)
