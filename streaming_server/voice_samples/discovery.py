"""Voice samples found in a directory, each with the transcript beside it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import anyio
import structlog
from anyio import to_thread

from streaming_server.errors import BadValue, SpeechError, UnknownVoiceSample
from streaming_server.storage.database import storage_errors
from streaming_server.storage.names import check_name
from streaming_server.storage.voice_records import StoredVoiceSample
from streaming_server.storage.voices import VoiceStore
from streaming_server.transcription.transcript import Source, written_transcript
from streaming_server.voice_samples.file_names import SUFFIXES
from streaming_server.voice_samples.ingest import MAX_TRANSCRIPT_CHARS, VoiceSampleIngest
from streaming_server.voice_samples.transcription_queue import TranscriptionQueue
from streaming_server.voices.library import VoiceLibrary

SIDECARS: tuple[tuple[Source, str], ...] = (("reference", ".reference.txt"), ("txt", ".txt"))
"""Sources and suffixes of transcript files, by precedence."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class DiscoveryResult:
    """ids: of the voice samples added. refused: file names and why each was not added."""

    ids: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class Discovery:
    """Adds the voice samples of a directory. must_exist: whether a missing directory is an error."""

    def __init__(
        self,
        directory: Path,
        ingest: VoiceSampleIngest,
        library: VoiceLibrary,
        transcriptions: TranscriptionQueue,
        *,
        must_exist: bool,
    ) -> None:
        self._directory = directory
        self._ingest = ingest
        self._library = library
        self._store = library.store
        self._transcriptions = transcriptions
        self._must_exist = must_exist
        self._running = anyio.Lock()

    async def discover(self, *, retranscribe: bool = False) -> DiscoveryResult:
        """Add new and changed files and have Whisper transcribe those without a transcript.

        retranscribe: also those whose transcript is Whisper's. Raise BadValue if the directory does not
        exist, StorageFailure if it cannot be read.
        """
        async with self._running:
            return await self._discover(retranscribe)

    async def discover_at_start(self) -> None:
        """Discover, and log a failure instead of raising it."""
        try:
            found = await self.discover()
        except SpeechError as error:
            log.warning("cannot discover voice samples", reason=error.message)
            return
        if found.ids or found.refused:
            log.info("discovered voice samples", added=len(found.ids), refused=len(found.refused))

    async def _discover(self, retranscribe: bool) -> DiscoveryResult:
        found = DiscoveryResult()
        voice_samples: list[StoredVoiceSample] = []
        for namesakes in await to_thread.run_sync(self._files):
            chosen = None
            for file in await to_thread.run_sync(_stored_first, self._store, namesakes):
                if chosen is not None:
                    found.refused[_shown(file)] = (
                        f"{chosen} is the sample of this name; rename one of the files."
                    )
                    continue
                try:
                    voice_sample, is_new = await self._add(file)
                except SpeechError as error:
                    found.refused[_shown(file)] = error.message
                    continue
                chosen = _shown(file)
                voice_samples.append(voice_sample)
                if is_new:
                    found.ids.append(voice_sample.id)
        await self._library.refresh()
        await self._transcribe(voice_samples, retranscribe)
        return found

    def _files(self) -> list[list[Path]]:
        """Return the audio files, those that would have the same id together. Blocks."""
        with storage_errors():
            if not self._directory.is_dir():
                if self._must_exist:
                    raise BadValue(
                        "The samples directory does not exist; set --samples-dir (DIA_SAMPLES_DIR)."
                    )
                return []
            files = [file for file in self._directory.iterdir() if file.suffix.lower() in SUFFIXES]
            files = [file for file in files if file.is_file() and not file.name.startswith(".")]
        files.sort(key=lambda file: (file.stem, file.name))
        return [list(namesakes) for _, namesakes in groupby(files, key=lambda file: file.stem)]

    async def _add(self, file: Path) -> tuple[StoredVoiceSample, bool]:
        """Return the voice sample of a file and whether it was added now, being new or changed."""
        voice_sample_id = check_name(file.stem, "file name")
        found = await to_thread.run_sync(_inspect, file)
        try:
            voice_sample = await to_thread.run_sync(self._store.voice_sample, voice_sample_id)
        except UnknownVoiceSample:
            voice_sample = None
        if voice_sample is None or found.is_newer_than(voice_sample):
            added = await self._ingest.add(
                voice_sample_id,
                file,
                file.name,
                found.text,
                found.source,
                mark=found.mark,
                keep_voice_transcripts=True,
            )
            return added, True
        transcript = written_transcript(found.text, found.source, voice_sample.duration_s)
        unchanged = voice_sample.transcript == transcript.text
        if transcript.text and voice_sample.transcript_source != "manual" and not unchanged:
            # A .reference.txt may have been removed while the .txt stayed.
            keep_better = voice_sample.transcript_source != "reference"
            voice_sample = await self._library.set_transcript(
                voice_sample, transcript, keep_better=keep_better
            )
        return voice_sample, False

    async def _transcribe(self, voice_samples: list[StoredVoiceSample], again: bool) -> None:
        """Schedule those without a transcript, even if transcription failed before, and with `again` more."""
        if not self._transcriptions.enabled:
            return
        for voice_sample in voice_samples:
            if voice_sample.transcript is None and voice_sample.transcript_findings:
                with suppress(UnknownVoiceSample):
                    await to_thread.run_sync(self._forget_failure, voice_sample)
        by_whisper = [sample for sample in voice_samples if sample.transcript_source == "whisper"]
        self._transcriptions.schedule(again=by_whisper if again else [])

    def _forget_failure(self, voice_sample: StoredVoiceSample) -> None:
        """Clear why transcription failed, so that it is tried again. Blocks."""
        self._store.set_transcript(voice_sample.id, None, None, sha256=voice_sample.sha256, keep_better=True)


@dataclass(frozen=True, slots=True)
class _Found:
    """A file found in the samples directory.

    text: the transcript beside it, or empty; source: which kind that is. mark: changes when the file does.
    modified: its time of modification.
    """

    text: str
    source: Source
    mark: str
    modified: datetime

    def is_newer_than(self, voice_sample: StoredVoiceSample) -> bool:
        """Return whether the stored voice sample was not made from this file.

        An uploaded voice sample is replaced by a file modified later.
        """
        if voice_sample.mark is not None:
            return self.mark != voice_sample.mark
        return self.modified > datetime.fromisoformat(voice_sample.discovered_at)


def _shown(file: Path) -> str:
    """Return the file's name as it can be sent, even one that is not UTF-8."""
    return os.fsencode(file.name).decode("utf-8", "replace")


def _stored_first(store: VoiceStore, namesakes: list[Path]) -> list[Path]:
    """Order files of one id so that the one the stored voice sample was made from comes first. Blocks."""
    if len(namesakes) > 1:
        with suppress(SpeechError):
            mark = store.voice_sample(namesakes[0].stem).mark
            return sorted(namesakes, key=lambda file: _mark_of(file)[0] != mark)
    return namesakes


def _inspect(file: Path) -> _Found:
    """Return a file with its transcript and mark. Blocks. Raise StorageFailure."""
    with storage_errors():
        text, source = _sidecar(file)
    return _Found(text, source, *_mark_of(file))


def _mark_of(file: Path) -> tuple[str, datetime]:
    """Return what tells a version of the file from later ones, and its time of modification."""
    with storage_errors():
        stat = file.stat()
    mark = f"{stat.st_size} bytes, {stat.st_mtime_ns} ns"
    return mark, datetime.fromtimestamp(stat.st_mtime, UTC)


def _sidecar(file: Path) -> tuple[str, Source]:
    """Return the transcript beside a file and its source; empty if there is none."""
    for source, suffix in SIDECARS:
        beside = file.with_name(file.stem + suffix)
        if beside.is_file():
            with beside.open("rb") as transcript:
                text = transcript.read(8 * MAX_TRANSCRIPT_CHARS).decode("utf-8-sig", "replace").strip()
            return text[:MAX_TRANSCRIPT_CHARS], source
    return "", "txt"
