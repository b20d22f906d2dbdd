"""Decodes, checks and stores voice samples."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import CancelScope, to_thread

from streaming_server.storage.files import discard
from streaming_server.storage.voice_records import StoredVoiceSample
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.transcript import Source, written_transcript
from streaming_server.voice_samples.decoder import SampleDecoder

MAX_TRANSCRIPT_CHARS = 2000
"""A minute of speech has fewer."""


class VoiceSampleIngest:
    """Stores voice samples. Decodes a few at a time; see `SampleDecoder`."""

    def __init__(self, decoder: SampleDecoder, store: VoiceStore) -> None:
        self._decoder = decoder
        self._store = store

    async def add(
        self,
        voice_sample_id: str,
        file: Path,
        filename: str | None,
        text: str,
        source: Source,
        *,
        mark: str | None = None,
        keep_voice_transcripts: bool = False,
    ) -> StoredVoiceSample:
        """Store the recording in `file`, which is left as it is.

        text: the transcript, or empty; source: who wrote it. mark: as in `StoredVoiceSample`.
        keep_voice_transcripts: as in `VoiceStore.put_voice_sample`. Raise as that and
        `SampleDecoder.decode` do.
        """
        async with self._temporary() as target:
            decoded = await self._decoder.decode(file, target, filename=filename)
            transcript = written_transcript(text, source, decoded.duration_s)
            return await to_thread.run_sync(
                lambda: self._store.put_voice_sample(
                    voice_sample_id,
                    target,
                    keep_voice_transcripts=keep_voice_transcripts,
                    duration_s=decoded.duration_s,
                    sample_rate=decoded.sample_rate,
                    original_format=decoded.original_format,
                    original_sample_rate=decoded.original_sample_rate,
                    channels=decoded.channels,
                    warnings=decoded.warnings,
                    waveform=decoded.waveform,
                    transcript=transcript.text or None,
                    transcript_source=transcript.source if transcript.text else None,
                    transcript_findings=transcript.findings if transcript.text else (),
                    mark=mark,
                )
            )

    @asynccontextmanager
    async def _temporary(self) -> AsyncIterator[Path]:
        """Yield a path in the data directory; remove the file on leaving."""
        target = self._store.new_temporary()
        try:
            yield target
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(discard, target)
