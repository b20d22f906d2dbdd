"""Previews: what each voice says about itself, kept once it has been spoken."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from anyio import Lock, to_thread

from streaming_server.errors import StorageFailure
from streaming_server.storage.database import storage_errors
from streaming_server.storage.files import discard, remove_older

_NAME = re.compile(r"[0-9a-f]{32}\.(wav|part)")

log = structlog.stdlib.get_logger(__name__)


class Previews:
    """The folder of WAV files, each named by 32 hexadecimal digits. Raise StorageFailure."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._being_made: dict[str, Lock] = {}
        with storage_errors():
            directory.mkdir(parents=True, exist_ok=True)

    async def get(self, name: str, speak: Callable[[], Awaitable[bytes]]) -> Path | bytes:
        """Return the preview of that name; if there is none, call `speak` and keep what it returns.

        Callers that want the same preview meanwhile wait for it. A disk that cannot be written to costs the
        file, not the preview: its bytes are returned. Raise what `speak` raises.
        """
        file = self._directory / f"{name}.wav"
        if await to_thread.run_sync(_touch, file):
            return file
        async with self._once(name):
            if await to_thread.run_sync(_touch, file):
                return file
            audio = await speak()
            try:
                await to_thread.run_sync(_write, file, audio)
            except StorageFailure as error:
                log.warning("cannot keep a preview", reason=error.message)
                return audio
        return file

    def expire(self, before: float) -> int:
        """Delete the previews last requested before a time. Return how many.

        Blocks. Raise StorageFailure.
        """
        with storage_errors():
            return remove_older(self._directory, before, _NAME, read=True)

    @asynccontextmanager
    async def _once(self, name: str) -> AsyncIterator[None]:
        """Let one caller at a time make the preview of that name."""
        lock = self._being_made.setdefault(name, Lock())
        try:
            async with lock:
                yield
        finally:
            if not (lock.locked() or lock.statistics().tasks_waiting):
                self._being_made.pop(name, None)


def _touch(file: Path) -> bool:
    """Return whether the file exists. Set its time of access, by which previews expire."""
    try:
        modified = file.stat().st_mtime
    except OSError:
        return False
    with suppress(OSError):  # The disk may be read-only.
        os.utime(file, (time.time(), modified))
    return True


def _write(file: Path, data: bytes) -> None:
    # A name of its own: other servers that share the folder may be making the same preview.
    unfinished = file.with_name(f"{secrets.token_hex(16)}.part")
    with storage_errors():
        try:
            unfinished.write_bytes(data)
            unfinished.replace(file)
        except OSError:
            discard(unfinished)
            raise
