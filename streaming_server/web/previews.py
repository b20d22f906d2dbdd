"""What each voice says of itself, spoken once and kept."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import orjson
from anyio import Lock, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streaming_server.catalogue import Entry
from streaming_server.container import whole_file
from streaming_server.database import storage_errors
from streaming_server.durable import remove_older
from streaming_server.errors import StorageFailure
from streaming_server.web.files import SoundFile
from streaming_server.web.http import keyed
from streaming_server.web.parts import Parts, parts_of
from streaming_server.web.reading import Wish, open_reading

PREVIEW_TEXT = "Hello! This is what I sound like. I hope you like it."

_PREVIEW = re.compile(r"[0-9a-f]{32}\.(wav|part)")


def routes() -> list[BaseRoute]:
    return [Route("/preview/{voice_id}", keyed(preview))]


async def preview(request: Request) -> Response:
    """A voice introduces itself. Kept until the voice changes."""
    parts = parts_of(request)
    entry = parts.catalogue.find(request.path_params["voice_id"])
    file = await parts.previews.get(parts, entry)
    gone = StorageFailure("The preview was removed from the disk just now: ask again.")
    return SoundFile(file, gone=gone, media_type="audio/wav", filename=f"{entry.voice.id}_preview.wav")


class Previews:
    """WAV files named by the voice and the engine that they are of: a voice that changes has another."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._being_made: dict[str, Lock] = {}
        directory.mkdir(parents=True, exist_ok=True)

    async def get(self, parts: Parts, entry: Entry) -> Path:
        """The preview of a voice, spoken now if it has not been yet. Raises SpeechError."""
        engine = await parts.pool.engine()
        spoken_by = [engine.name, parts.settings.model, asdict(entry.voice), asdict(entry.defaults)]
        name = hashlib.sha256(orjson.dumps(spoken_by)).hexdigest()[:32]
        file = self._directory / f"{name}.wav"
        if await to_thread.run_sync(_used, file):
            return file
        async with self._once(name):
            if not await to_thread.run_sync(_used, file):
                wish = Wish(PREVIEW_TEXT, entry.voice.id)
                with (
                    parts.guard.speaking(parts.pool.has_room),
                    open_reading(parts, engine, wish) as reading,
                ):
                    pcm = b"".join([piece async for piece in reading.pcm()])
                await to_thread.run_sync(_write, file, whole_file("wav", pcm, reading.sample_rate))
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
