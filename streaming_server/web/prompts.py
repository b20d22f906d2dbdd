"""Samples of voices over HTTP: uploaded, found, transcribed, deleted."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from streaming_server.database import storage_errors
from streaming_server.errors import BadValue, Draining, SpeechError, UnknownPrompt
from streaming_server.store import StoredPrompt, check_name
from streaming_server.transcript import Source, Transcript, given
from streaming_server.web.http import Json, flag, keyed, read_json
from streaming_server.web.parts import Parts, parts_of
from streaming_server.web.upload import receive
from streaming_server.web.voices import check_said, refresh, sentence_of

SAMPLE_ENDINGS = frozenset({".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".webm"})
SIDECARS: tuple[tuple[Source, str], ...] = (("reference", ".reference.txt"), ("txt", ".txt"))
"""Texts beside a sample, the one that is believed first first."""
LONGEST_TRANSCRIPT = 2000
FILE_GONE = "The file of the sample is gone: upload it again."

log = structlog.stdlib.get_logger(__name__)


class NewTranscript(BaseModel):
    model_config = ConfigDict(extra="ignore")

    transcript: str = Field(min_length=1, max_length=LONGEST_TRANSCRIPT)


class Discovery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    force_retranscribe: bool = False


def routes() -> list[BaseRoute]:
    return [
        Route("/audio_prompts/upload", keyed(upload), methods=["POST"]),
        Route("/audio_prompts/discover", keyed(discover), methods=["POST"]),
        Route("/audio_prompts/metadata", keyed(all_metadata)),
        Route("/audio_prompts/metadata/{prompt_id}", keyed(metadata)),
        Route("/audio_prompts", keyed(prompts)),
        Route("/audio_prompts/{prompt_id}", keyed(delete), methods=["DELETE"]),
        Route("/audio_prompts/{prompt_id}/audio", keyed(audio)),
        Route("/audio_prompts/{prompt_id}/transcript", keyed(put_transcript), methods=["PUT"]),
        Route("/audio_prompts/{prompt_id}/transcribe", keyed(transcribe), methods=["POST"]),
        Route("/whisper/status", keyed(whisper_status)),
        Route("/whisper/load", keyed(whisper_load), methods=["POST"]),
    ]


async def upload(request: Request) -> Response:
    """A new sample, or another recording for one there is."""
    parts = parts_of(request)
    settings = parts.settings
    async with receive(
        request, "audio_file", max_bytes=settings.max_upload_bytes, timeout_s=settings.upload_timeout_s
    ) as sent:
        prompt_id = check_name(sent.fields.get("prompt_id", ""), "prompt_id")
        said = sent.fields.get("transcript", "").strip()
        if len(said) > LONGEST_TRANSCRIPT:
            raise BadValue(f"transcript: at most {LONGEST_TRANSCRIPT} characters.")
        if said:
            check_said(said, "transcript")
        source = await to_thread.run_sync(parts.store.new_temporary)
        try:
            await to_thread.run_sync(sent.save, source)
            prompt = await _take_in(parts, prompt_id, source, sent.filename, said, "manual")
        finally:
            await to_thread.run_sync(lambda: source.unlink(missing_ok=True))
    await refresh(parts)
    transcribing = prompt.transcript is None and _transcribe_later(parts, [prompt])
    return Json(
        {
            "message": f"The sample {prompt.id!r} is stored.",
            "prompt_id": prompt.id,
            "duration": prompt.duration_s,
            "sample_rate": prompt.sample_rate,
            "original_sample_rate": prompt.original_sample_rate,
            "original_format": prompt.original_format,
            "channels": prompt.channels,
            "warnings": _warnings(prompt),
            "waveform": prompt.waveform,
            "transcript": prompt.transcript,
            "transcribing": transcribing,
        },
        status_code=201,
    )


async def prompts(request: Request) -> Response:
    known = await to_thread.run_sync(parts_of(request).store.prompts)
    return Json({prompt.id: _listed(prompt) for prompt in known})


async def all_metadata(request: Request) -> Response:
    known = await to_thread.run_sync(parts_of(request).store.prompts)
    return Json({prompt.id: _metadata(prompt) for prompt in known})


async def metadata(request: Request) -> Response:
    return Json(_metadata(await _prompt(request)))


async def audio(request: Request) -> Response:
    """The sample as it is stored: mono, 44.1 kHz, 16 bits."""
    prompt = await _prompt(request)
    if not await to_thread.run_sync(lambda: prompt.exists):
        raise UnknownPrompt(FILE_GONE)
    return FileResponse(prompt.path, media_type="audio/wav")


async def delete(request: Request) -> Response:
    """Refused while a voice uses it, unless `force=true`: then those voices lose it."""
    parts = parts_of(request)
    prompt_id = request.path_params["prompt_id"]
    force = flag(request, "force")
    await to_thread.run_sync(lambda: parts.store.delete_prompt(prompt_id, force=force))
    await refresh(parts)
    return Json({"message": f"The sample {prompt_id!r} was deleted."})


async def put_transcript(request: Request) -> Response:
    parts = parts_of(request)
    wanted = await read_json(request, NewTranscript)
    prompt = await _prompt(request)
    said = check_said(wanted.transcript, "transcript")
    prompt = await _keep(parts, prompt, given(said, "manual", prompt.duration_s))
    return Json(
        {
            "message": f"The transcript of {prompt.id!r} was changed.",
            "prompt_id": prompt.id,
            "transcript": prompt.transcript,
            "warnings": _warnings(prompt),
            "updated_voices": await _voices_of(parts, prompt),
        }
    )


async def transcribe(request: Request) -> Response:
    """Have Whisper listen, whatever transcript there is. Where it cannot, that one stays."""
    parts = parts_of(request)
    prompt = await _prompt(request)
    if not await to_thread.run_sync(lambda: prompt.exists):
        raise UnknownPrompt(FILE_GONE)
    try:
        heard = await parts.transcription.transcribe(prompt.path, prompt.duration_s)
    except Draining:
        raise
    except SpeechError as error:
        await to_thread.run_sync(_note_failure, parts, prompt, error)
        raise
    prompt = await _keep(parts, prompt, heard)
    return Json(
        {
            "prompt_id": prompt.id,
            "transcript": prompt.transcript,
            "language": prompt.transcript_language,
            "language_probability": prompt.transcript_language_probability,
            "warnings": _warnings(prompt),
            "saved_to": f"/audio_prompts/metadata/{prompt.id}",
            "updated_voices": await _voices_of(parts, prompt),
        }
    )


async def discover(request: Request) -> Response:
    """Take in what lies in the directory of samples, each with the text beside it."""
    parts = parts_of(request)
    wanted = await read_json(request, Discovery, optional=True)
    async with parts.discovering:
        found, refused = await _discover(parts, wanted.force_retranscribe)
    known = await to_thread.run_sync(parts.store.prompts)
    message = f"{len(found)} samples were taken in, {len(refused)} refused."
    return Json({"message": message, "total_prompts": len(known), "discovered": found, "refused": refused})


async def discover_at_start(parts: Parts) -> None:
    """Where that is wanted. What cannot be taken in is logged, and the server goes on without it."""
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


async def whisper_status(request: Request) -> Response:
    parts = parts_of(request)
    wanted = parts.configuration.now.auto_transcribe
    return Json(parts.transcription.status() | {"auto_transcribe": wanted})


async def whisper_load(request: Request) -> Response:
    parts = parts_of(request)
    await parts.transcription.load()
    return Json({"message": "Whisper is loaded.", **parts.transcription.status()})


async def _prompt(request: Request) -> StoredPrompt:
    store = parts_of(request).store
    return await to_thread.run_sync(store.prompt, request.path_params["prompt_id"])


async def _take_in(
    parts: Parts,
    prompt_id: str,
    source: Path,
    filename: str | None,
    said: str,
    believed: Source,
    mark: str | None = None,
) -> StoredPrompt:
    """A file as a sample: checked, decoded, stored. mark: as in `StoredPrompt`."""
    target = await to_thread.run_sync(parts.store.new_temporary)
    try:
        sample = await parts.ingest.ingest(source, target, filename=filename)
        transcript = given(said, believed, sample.duration_s)
        return await to_thread.run_sync(
            lambda: parts.store.put_prompt(
                prompt_id,
                target,
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
    finally:
        await to_thread.run_sync(lambda: target.unlink(missing_ok=True))


async def _keep(
    parts: Parts, prompt: StoredPrompt, transcript: Transcript, *, keep_better: bool = False
) -> StoredPrompt:
    """Store a transcript, which counts from the next context on.

    keep_better: one that is believed more, and came meanwhile, stays. Raises UnknownPrompt where the
    recording was replaced or deleted meanwhile.
    """
    kept = await to_thread.run_sync(
        lambda: parts.store.set_transcript(
            prompt.id,
            transcript.text,
            source=transcript.source,
            language=transcript.language,
            language_probability=transcript.language_probability,
            findings=transcript.findings,
            sha256=prompt.sha256,
            keep_better=keep_better,
        )
    )
    await refresh(parts)
    return kept


def _transcribe_later(parts: Parts, prompts: list[StoredPrompt]) -> bool:
    """Whether that is wanted and can be done. The samples can be used meanwhile, and whatever comes of it."""
    wanted = parts.configuration.now.auto_transcribe and parts.transcription.status()["available"]
    if prompts and wanted:
        parts.background.start(_transcribe_quietly, parts, prompts)
    return bool(wanted)


async def _transcribe_quietly(parts: Parts, prompts: list[StoredPrompt]) -> None:
    """One after the other, so that many do not crowd the queue. Why one failed is stored with it."""
    for prompt in prompts:
        try:
            try:
                transcript = await parts.transcription.transcribe(prompt.path, prompt.duration_s)
            except Draining:
                return
            except SpeechError as error:
                log.warning("transcription failed", code=error.code, reason=error.message)
                await to_thread.run_sync(_note_failure, parts, prompt, error)
            else:
                await _keep(parts, prompt, transcript, keep_better=True)
        except SpeechError as error:
            log.info("a transcript is not stored", reason=error.message)


def _note_failure(parts: Parts, prompt: StoredPrompt, error: SpeechError) -> None:
    """Why there is no transcript; one that there is by now stays, and so does another recording. Blocks."""
    with suppress(UnknownPrompt):
        parts.store.set_transcript(
            prompt.id, None, None, findings=(error.message,), sha256=prompt.sha256, keep_better=True
        )


async def _discover(parts: Parts, retranscribe: bool) -> tuple[list[str], dict[str, str]]:
    """The ids of what was taken in, and the names of the files that were not, with the reason."""
    directory, elsewhere = parts.settings.samples_directory, parts.settings.samples_dir is not None
    found: list[str] = []
    refused: dict[str, str] = {}
    silent: list[StoredPrompt] = []
    for file in await to_thread.run_sync(_samples_in, directory, elsewhere):
        try:
            prompt, new = await _discovered(parts, file)
        except SpeechError as error:
            refused[file.name] = error.message
            continue
        if new:
            found.append(prompt.id)
        if prompt.transcript is None or (retranscribe and prompt.transcript_source == "whisper"):
            silent.append(prompt)
    await refresh(parts)
    _transcribe_later(parts, silent)
    return found, refused


def _samples_in(directory: Path, must_exist: bool) -> list[Path]:
    if not directory.is_dir():
        if must_exist:
            raise BadValue("The directory of samples is not there; DIA_SAMPLES_DIR says where it is.")
        return []
    with storage_errors():
        files = [file for file in directory.iterdir() if file.suffix.lower() in SAMPLE_ENDINGS]
        return sorted(file for file in files if file.is_file() and not file.name.startswith("."))


async def _discovered(parts: Parts, file: Path) -> tuple[StoredPrompt, bool]:
    """The sample of a file, and whether it was taken in now: it is not if it is known and unchanged."""
    prompt_id = check_name(file.stem, "file name")
    beside = await to_thread.run_sync(_beside, file)
    try:
        prompt = await to_thread.run_sync(parts.store.prompt, prompt_id)
    except UnknownPrompt:
        prompt = None
    if prompt is None or beside.has_changed_since(prompt):
        taken = await _take_in(parts, prompt_id, file, file.name, beside.said, beside.believed, beside.mark)
        return taken, True
    transcript = given(beside.said, beside.believed, prompt.duration_s)
    if transcript.text and prompt.transcript_source != "manual" and prompt.transcript != transcript.text:
        prompt = await _keep(parts, prompt, transcript)
    return prompt, False


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is known of a sample's file without reading it.

    said: the text beside it, empty if there is none; believed: of which kind that is.
    """

    said: str
    believed: Source
    mark: str
    written: datetime

    def has_changed_since(self, prompt: StoredPrompt) -> bool:
        """Whether it is another file than the prompt was made from; one that was sent, a newer file is."""
        if prompt.mark is not None:
            return self.mark != prompt.mark
        return self.written > datetime.fromisoformat(prompt.discovered_at)


def _beside(file: Path) -> _Beside:
    with storage_errors():
        said, believed = _sidecar(file)
        found = file.stat()
    mark = f"{found.st_size} bytes, {found.st_mtime_ns} ns"
    return _Beside(said, believed, mark, datetime.fromtimestamp(found.st_mtime, UTC))


def _sidecar(file: Path) -> tuple[str, Source]:
    """The text beside a sample, and of which kind; empty if there is none."""
    for source, ending in SIDECARS:
        beside = file.with_name(file.stem + ending)
        if beside.is_file():
            with beside.open("rb") as text:
                said = text.read(8 * LONGEST_TRANSCRIPT).decode("utf-8-sig", "replace").strip()
            return said[:LONGEST_TRANSCRIPT], source
    return "", "txt"


async def _voices_of(parts: Parts, prompt: StoredPrompt) -> list[str]:
    known = await to_thread.run_sync(parts.store.voices)
    return [voice.id for voice in known if voice.prompt == prompt.id and not voice.transcript]


def _warnings(prompt: StoredPrompt) -> list[str]:
    return [*prompt.warnings, *map(sentence_of, prompt.transcript_findings)]


def _listed(prompt: StoredPrompt) -> dict[str, Any]:
    exists = prompt.exists
    listed = {
        "file_path": f"prompts/{prompt.path.name}",
        "duration": prompt.duration_s,
        "sample_rate": prompt.sample_rate,
        "exists": exists,
    }
    return listed if exists else listed | {"error": FILE_GONE}


def _metadata(prompt: StoredPrompt) -> dict[str, Any]:
    return {
        "prompt_id": prompt.id,
        "file_path": f"prompts/{prompt.path.name}",
        "duration": prompt.duration_s,
        "sample_rate": prompt.sample_rate,
        "original_format": prompt.original_format,
        "original_sample_rate": prompt.original_sample_rate,
        "channels": prompt.channels,
        "transcript": prompt.transcript,
        "transcript_source": prompt.transcript_source,
        "transcript_findings": prompt.transcript_findings,
        "language": prompt.transcript_language,
        "language_probability": prompt.transcript_language_probability,
        "warnings": _warnings(prompt),
        "waveform": prompt.waveform,
        "hash": prompt.sha256,
        "discovered_at": prompt.discovered_at,
        "exists": prompt.exists,
    }
