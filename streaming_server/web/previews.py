"""What each voice says of itself, spoken once and kept."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from anyio import Lock, to_thread

from streaming_server.catalogue import Entry
from streaming_server.container import whole_file
from streaming_server.database import storage_errors
from streaming_server.durable import remove_older
from streaming_server.web.reading import Wish, open_reading

if TYPE_CHECKING:
    from streaming_server.web.parts import Parts

PREVIEW_TEXT = "Hello! This is what I sound like. I hope you like it."


class Previews:
    """WAV files named by the voice and the engine that they are of: a voice that changes has another."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._one_at_a_time = Lock()
        directory.mkdir(parents=True, exist_ok=True)

    async def get(self, parts: Parts, entry: Entry) -> Path:
        """The preview of a voice, spoken now if it has not been yet. Raises SpeechError."""
        engine = await parts.pool.engine()
        spoken_by = [engine.name, parts.settings.model, asdict(entry.voice), asdict(entry.defaults)]
        name = hashlib.sha256(orjson.dumps(spoken_by)).hexdigest()[:32]
        file = self._directory / f"{name}.wav"
        async with self._one_at_a_time:
            if not await to_thread.run_sync(_used, file):
                wish = Wish(PREVIEW_TEXT, entry.voice.id)
                with (
                    parts.guard.speaking(parts.pool.has_room),
                    open_reading(parts, engine, wish) as reading,
                ):
                    pcm = b"".join([piece async for piece in reading.pcm()])
                await to_thread.run_sync(_write, file, whole_file("wav", pcm, reading.sample_rate))
        return file

    def expire(self, before: float) -> int:
        """Remove those that nobody has listened to since a time; how many. Blocks. Raises StorageFailure."""
        with storage_errors():
            return remove_older(self._directory, before, read=True)


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
