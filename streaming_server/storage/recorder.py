"""Keeps copies of generated speech and writes the journal."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import structlog
from anyio import CancelScope, to_thread

from streaming_server.errors import SpeechError
from streaming_server.storage.history import Journal
from streaming_server.storage.outputs import OutputFolder

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SpeechRecord:
    """Speech about to be made.

    voice_sample: the file name of the voice's sample, if it has one. final_head: returns what to write
    over the start of the whole file. audio_s: returns the seconds of audio made so far.
    """

    text: str
    voice: str
    voice_sample: str | None
    extension: str
    final_head: Callable[[], bytes]
    audio_s: Callable[[], float]


class Recorder:
    """keeps_copies: whether speech is copied to a file. keeps_journal: whether the journal is written."""

    def __init__(
        self,
        folder: OutputFolder,
        journal: Journal,
        *,
        keeps_copies: Callable[[], bool],
        keeps_journal: Callable[[], bool],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._keeps_copies = keeps_copies
        self._keeps_journal = keeps_journal

    async def record(
        self, body: AsyncGenerator[bytes, None], record: SpeechRecord
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of `body`; copy and journal them once they are complete.

        A failure to do so is logged and does not affect the speech.
        """
        started = time.monotonic()
        keeps_journal = self._keeps_journal()
        file = None
        if self._keeps_copies():
            output = await to_thread.run_sync(self._folder.create, record.extension)
            try:
                async with aclosing(body):
                    async for data in body:
                        await to_thread.run_sync(output.append, data)
                        yield data
                file = await to_thread.run_sync(output.keep, record.final_head())
            finally:
                with CancelScope(shield=True):
                    await to_thread.run_sync(output.discard)
        else:
            async with aclosing(body):
                async for data in body:
                    yield data
        if keeps_journal:
            await to_thread.run_sync(self._write, record, time.monotonic() - started, file)

    def _write(self, record: SpeechRecord, took_s: float, file: Path | None) -> None:
        """Blocks."""
        try:
            self._journal.add(
                text=record.text,
                voice=record.voice,
                voice_sample=record.voice_sample,
                took_s=took_s,
                audio_s=record.audio_s(),
                file=file,
            )
        except SpeechError as error:
            log.warning("cannot write the journal", reason=error.message)
