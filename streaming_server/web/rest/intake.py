"""A file on its way to being a sample: checked, decoded, stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import CancelScope, to_thread

from streaming_server.storage.files import discard
from streaming_server.storage.voices import StoredVoiceSample
from streaming_server.transcription.transcript import Source, given
from streaming_server.web.services import Parts

LONGEST_TRANSCRIPT = 2000
"""Characters; of a minute of speech there are hardly more."""


async def take_in(
    parts: Parts,
    voice_sample_id: str,
    file: Path,
    filename: str | None,
    said: str,
    source: Source,
    *,
    mark: str | None = None,
    spare_voices: bool = False,
) -> StoredVoiceSample:
    """Store what is recorded in a file, which stays where it is.

    said: its words, empty where nobody gave them, and source: who did. mark: as in `StoredVoiceSample`;
    spare_voices: as in `VoiceStore.put_voice_sample`. Raises as `Ingest.ingest` and it do.
    """
    async with _temporary(parts) as target:
        sample = await parts.ingest.ingest(file, target, filename=filename)
        transcript = given(said, source, sample.duration_s)
        return await to_thread.run_sync(
            lambda: parts.store.put_voice_sample(
                voice_sample_id,
                target,
                spare_voices=spare_voices,
                duration_s=sample.duration_s,
                sample_rate=sample.sample_rate,
                original_format=sample.original_format,
                original_sample_rate=sample.original_sample_rate,
                channels=sample.channels,
                warnings=sample.warnings,
                waveform=sample.waveform,
                transcript=transcript.text or None,
                transcript_source=transcript.source if transcript.text else None,
                transcript_findings=transcript.findings if transcript.text else (),
                mark=mark,
            )
        )


@asynccontextmanager
async def _temporary(parts: Parts) -> AsyncIterator[Path]:
    """A path in the data directory, where there is nothing any more afterwards."""
    target = parts.store.new_temporary()
    try:
        yield target
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(discard, target)
