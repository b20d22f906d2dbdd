"""What is spoken, kept in a file and noted in the journal on its way to the client."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import structlog
from anyio import CancelScope, to_thread

from streaming_server.audio.wav import wav_header
from streaming_server.errors import SpeechError
from streaming_server.storage.history import OutputFile
from streaming_server.web.reading import Reading
from streaming_server.web.rest.generate_request import GenerateRequest
from streaming_server.web.services import Parts

log = structlog.stdlib.get_logger(__name__)


async def kept(parts: Parts, wanted: GenerateRequest, reading: Reading) -> AsyncGenerator[bytes, None]:
    """The sound, and where that is wanted a copy of it in a file and a line in the journal."""
    config = parts.configuration.now
    started = time.monotonic()
    output, file = None, None
    if config.save_outputs:
        output = await to_thread.run_sync(OutputFile, parts.journal.new_file(wanted.response_format))
    size = 0
    try:
        async with aclosing(reading.contained()) as body:
            async for data in body:
                size += len(data)
                if output is not None:
                    await to_thread.run_sync(output.append, data)
                yield data
        if output is not None:
            file = await to_thread.run_sync(output.keep, _final_head(reading, size))
    finally:
        if output is not None:
            with CancelScope(shield=True):
                await to_thread.run_sync(output.discard)
    if config.debug_mode:
        await to_thread.run_sync(_note, parts, wanted, reading, time.monotonic() - started, file)


def _final_head(reading: Reading, size: int) -> bytes:
    """What a WAV file of so many bytes begins with: while it was streamed, its length was not known."""
    if reading.audio_format != "wav":
        return b""
    head = len(wav_header(reading.sample_rate))
    return wav_header(reading.sample_rate, (size - head) // 2)


def _note(parts: Parts, wanted: GenerateRequest, reading: Reading, took_s: float, file: Path | None) -> None:
    """A line in the journal. The sound is out already: that it is not noted must not spoil it. Blocks."""
    try:
        voice_sample = parts.catalogue.find(wanted.voice_id).voice.voice_sample
        parts.journal.add(
            text=wanted.text,
            voice=wanted.voice_id,
            voice_sample=Path(voice_sample.path).name if voice_sample else None,
            took_s=took_s,
            audio_s=reading.audio_s,
            file=file,
        )
    except SpeechError as error:
        log.warning("a generation was not noted", reason=error.message)
