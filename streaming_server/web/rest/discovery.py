"""The directory of samples: what lies there is taken in, each with the text beside it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import structlog
from anyio import to_thread
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import BadValue, SpeechError, StorageFailure, UnknownVoiceSample
from streaming_server.storage.database import storage_errors
from streaming_server.storage.voices import StoredVoiceSample, VoiceStore, check_name
from streaming_server.transcription.transcript import Source, given
from streaming_server.web.openapi.operation import BODY_ERRORS, operation
from streaming_server.web.requests import keyed, read_json
from streaming_server.web.responses import Json
from streaming_server.web.rest.hearing import hear_again, hear_soon, is_wanted, keep
from streaming_server.web.rest.intake import LONGEST_TRANSCRIPT, take_in
from streaming_server.web.rest.voices import refresh
from streaming_server.web.services import Parts, parts_of

SAMPLE_ENDINGS = frozenset(
    {".wav", ".w64", ".aiff", ".aif", ".caf", ".mp3", ".flac"}
    | {".ogg", ".opus", ".m4a", ".aac", ".webm", ".amr", ".wma"}
)
SIDECARS: tuple[tuple[Source, str], ...] = (("reference", ".reference.txt"), ("txt", ".txt"))
"""Texts beside a sample, the one that is believed first first."""

log = structlog.stdlib.get_logger(__name__)


class Discovery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    force_retranscribe: bool = False


class Discovered(TypedDict):
    """discovered: ids. refused: the reason by file name."""

    message: str
    total_prompts: int
    discovered: list[str]
    refused: dict[str, str]


def routes() -> list[BaseRoute]:
    return [Route("/audio_prompts/discover", keyed(discover), methods=["POST"])]


@operation(
    "samples",
    "Import the directory of voice samples, each with the text beside it",
    body=Discovery,
    body_required=False,
    errors=(*BODY_ERRORS, StorageFailure),
)
async def discover(request: Request) -> Json[Discovered]:
    """Take in what lies in the directory of samples, each with the text beside it."""
    parts = parts_of(request)
    wanted = await read_json(request, Discovery, optional=True)
    async with parts.discovering:
        found, refused = await _discover(parts, wanted.force_retranscribe)
    known = await to_thread.run_sync(parts.store.voice_samples)
    message = f"{len(found)} samples were taken in, {len(refused)} refused."
    return Json({"message": message, "total_prompts": len(known), "discovered": found, "refused": refused})


async def discover_at_start(parts: Parts) -> None:
    """Where that is wanted, and have heard what an earlier life did not come to.

    What cannot be taken in is logged, and the server goes on without it.
    """
    hear_soon(parts)
    if not parts.configuration.now.auto_discover_prompts:
        return
    try:
        async with parts.discovering:
            found, refused = await _discover(parts, False)
    except SpeechError as error:
        log.warning("samples could not be looked for", reason=error.message)
        return
    if found or refused:
        log.info("samples were looked for", taken_in=len(found), refused=len(refused))


async def _discover(parts: Parts, retranscribe: bool) -> tuple[list[str], dict[str, str]]:
    """The ids of what was taken in, and the names of the files that were not, with the reason."""
    directory, elsewhere = parts.settings.samples_directory, parts.settings.samples_dir is not None
    found: list[str] = []
    refused: dict[str, str] = {}
    voice_samples: list[StoredVoiceSample] = []
    for namesakes in await to_thread.run_sync(_samples_in, directory, elsewhere):
        sample = None
        for file in await to_thread.run_sync(_known_first, parts.store, namesakes):
            if sample is not None:
                refused[file.name] = f"{sample} is the sample of this name: rename one of the files."
                continue
            try:
                voice_sample, new = await _discovered(parts, file)
            except SpeechError as error:
                refused[file.name] = error.message
                continue
            sample = file.name
            voice_samples.append(voice_sample)
            if new:
                found.append(voice_sample.id)
    await refresh(parts)
    await _have_heard(parts, voice_samples, retranscribe)
    return found, refused


def _samples_in(directory: Path, must_exist: bool) -> list[list[Path]]:
    """The samples of a directory, those together that would have one id."""
    if not directory.is_dir():
        if must_exist:
            raise BadValue("The directory of samples is not there; DIA_SAMPLES_DIR says where it is.")
        return []
    with storage_errors():
        files = [file for file in directory.iterdir() if file.suffix.lower() in SAMPLE_ENDINGS]
        samples = [file for file in files if file.is_file() and not file.name.startswith(".")]
    samples.sort(key=lambda file: (file.stem, file.name))
    return [list(namesakes) for _, namesakes in groupby(samples, key=lambda file: file.stem)]


def _known_first(store: VoiceStore, namesakes: list[Path]) -> list[Path]:
    """Files of one name, the one first that the stored sample is of. Blocks."""
    if len(namesakes) > 1:
        with suppress(SpeechError):
            mark = store.voice_sample(namesakes[0].stem).mark
            return sorted(namesakes, key=lambda file: _mark_of(file)[0] != mark)
    return namesakes


async def _discovered(parts: Parts, file: Path) -> tuple[StoredVoiceSample, bool]:
    """The sample of a file, and whether it was taken in now: it is not if it is known and unchanged."""
    voice_sample_id = check_name(file.stem, "file name")
    beside = await to_thread.run_sync(_beside, file)
    try:
        voice_sample = await to_thread.run_sync(parts.store.voice_sample, voice_sample_id)
    except UnknownVoiceSample:
        voice_sample = None
    if voice_sample is None or beside.has_changed_since(voice_sample):
        taken = await take_in(
            parts,
            voice_sample_id,
            file,
            file.name,
            beside.said,
            beside.believed,
            mark=beside.mark,
            spare_voices=True,
        )
        return taken, True
    transcript = given(beside.said, beside.believed, voice_sample.duration_s)
    if (
        transcript.text
        and voice_sample.transcript_source != "manual"
        and voice_sample.transcript != transcript.text
    ):
        # A reference may have gone, and the plain text beside the sample stayed.
        believed = voice_sample.transcript_source != "reference"
        voice_sample = await keep(parts, voice_sample, transcript, keep_better=believed)
    return voice_sample, False


async def _have_heard(parts: Parts, voice_samples: list[StoredVoiceSample], again: bool) -> None:
    """Those without a transcript, tried in vain before or not; with `again` those too that Whisper heard."""
    if not is_wanted(parts):
        return
    for voice_sample in voice_samples:
        if voice_sample.transcript is None and voice_sample.transcript_findings:
            with suppress(UnknownVoiceSample):
                await to_thread.run_sync(_forget_failure, parts, voice_sample)
    hear_soon(parts)
    hear_again(
        parts,
        [
            voice_sample
            for voice_sample in voice_samples
            if again and voice_sample.transcript_source == "whisper"
        ],
    )


def _forget_failure(parts: Parts, voice_sample: StoredVoiceSample) -> None:
    """Why it was not heard is why it is heard now. Blocks."""
    parts.store.set_transcript(voice_sample.id, None, None, sha256=voice_sample.sha256, keep_better=True)


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is known of a sample's file without reading it.

    said: the text beside it, empty if there is none; believed: of which kind that is.
    """

    said: str
    believed: Source
    mark: str
    written: datetime

    def has_changed_since(self, voice_sample: StoredVoiceSample) -> bool:
        """Whether the voice sample was made from another file. An upload gives way to a newer file."""
        if voice_sample.mark is not None:
            return self.mark != voice_sample.mark
        return self.written > datetime.fromisoformat(voice_sample.discovered_at)


def _beside(file: Path) -> _Beside:
    with storage_errors():
        said, believed = _sidecar(file)
    return _Beside(said, believed, *_mark_of(file))


def _mark_of(file: Path) -> tuple[str, datetime]:
    """By which a file is known from what it becomes later, and when it was written. Raises StorageFailure."""
    with storage_errors():
        found = file.stat()
    mark = f"{found.st_size} bytes, {found.st_mtime_ns} ns"
    return mark, datetime.fromtimestamp(found.st_mtime, UTC)


def _sidecar(file: Path) -> tuple[str, Source]:
    """The text beside a sample, and of which kind; empty if there is none."""
    for source, ending in SIDECARS:
        beside = file.with_name(file.stem + ending)
        if beside.is_file():
            with beside.open("rb") as text:
                said = text.read(8 * LONGEST_TRANSCRIPT).decode("utf-8-sig", "replace").strip()
            return said[:LONGEST_TRANSCRIPT], source
    return "", "txt"
