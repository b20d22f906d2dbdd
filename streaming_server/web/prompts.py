"""Samples of voices over HTTP: uploaded, found, transcribed, deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from streaming_server.errors import BadValue, SpeechError
from streaming_server.store import StoredPrompt, check_name
from streaming_server.transcript import SENTENCES, Source, Transcript, given
from streaming_server.web.http import Json, keyed, read_json
from streaming_server.web.parts import Parts, parts_of
from streaming_server.web.upload import receive
from streaming_server.web.voices import refresh

SAMPLE_ENDINGS = frozenset({".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".webm"})
SIDECARS: tuple[tuple[Source, str], ...] = (("reference", ".reference.txt"), ("txt", ".txt"))
"""Texts beside a sample, the one that is believed first first."""
LONGEST_TRANSCRIPT = 2000

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
        source = await to_thread.run_sync(parts.store.new_temporary)
        try:
            await to_thread.run_sync(sent.save, source)
            prompt = await _take_in(parts, prompt_id, source, sent.filename, said, "manual")
        finally:
            await to_thread.run_sync(lambda: source.unlink(missing_ok=True))
    await refresh(parts)
    if prompt.transcript is None:
        await _transcribe_later(parts, prompt)
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
    return FileResponse(prompt.path, media_type="audio/wav")


async def delete(request: Request) -> Response:
    """Refused while a voice uses it, unless `force=true`: then those voices lose it."""
    parts = parts_of(request)
    prompt_id = request.path_params["prompt_id"]
    force = request.query_params.get("force", "").lower() in ("true", "1", "yes")
    await to_thread.run_sync(lambda: parts.store.delete_prompt(prompt_id, force=force))
    await refresh(parts)
    return Json({"message": f"The sample {prompt_id!r} was deleted."})


async def put_transcript(request: Request) -> Response:
    parts = parts_of(request)
    wanted = await read_json(request, NewTranscript)
    prompt = await _prompt(request)
    prompt = await _keep(parts, prompt, given(wanted.transcript, "manual", prompt.duration_s))
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
    """Have Whisper listen, whatever transcript there is."""
    parts = parts_of(request)
    prompt = await _prompt(request)
    prompt = await _keep(parts, prompt, await parts.transcription.transcribe(prompt.path, prompt.duration_s))
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
    found: list[str] = []
    refused: dict[str, str] = {}
    for file in await to_thread.run_sync(_samples_in, parts.settings.samples_directory):
        try:
            if await _discovered(parts, file, wanted.force_retranscribe):
                found.append(file.stem)
        except SpeechError as error:
            refused[file.name] = error.message
    await refresh(parts)
    known = await to_thread.run_sync(parts.store.prompts)
    message = f"{len(found)} samples were taken in, {len(refused)} refused."
    return Json({"message": message, "total_prompts": len(known), "discovered": found, "refused": refused})


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
    parts: Parts, prompt_id: str, source: Path, filename: str | None, said: str, believed: Source
) -> StoredPrompt:
    """A file as a sample: checked, decoded, stored."""
    target = await to_thread.run_sync(parts.store.new_temporary)
    try:
        sample = await parts.ingest.ingest(source, target, filename=filename)
        transcript = given(said, believed, sample.duration_s) if said else None
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
                transcript=transcript.text if transcript else None,
                transcript_source=transcript.source if transcript else None,
                transcript_findings=transcript.findings if transcript else (),
            )
        )
    finally:
        await to_thread.run_sync(lambda: target.unlink(missing_ok=True))


async def _keep(parts: Parts, prompt: StoredPrompt, transcript: Transcript) -> StoredPrompt:
    """Store a transcript, which counts from the next context on."""
    kept = await to_thread.run_sync(
        lambda: parts.store.set_transcript(
            prompt.id,
            transcript.text,
            source=transcript.source,
            language=transcript.language,
            language_probability=transcript.language_probability,
            findings=transcript.findings,
        )
    )
    await refresh(parts)
    return kept


async def _transcribe_later(parts: Parts, prompt: StoredPrompt) -> None:
    """Where that is wanted and can be done; the sample can be used meanwhile, and afterwards in any case."""
    if parts.configuration.now.auto_transcribe and parts.transcription.status()["available"]:
        parts.background.start(_transcribe_quietly, parts, prompt)


async def _transcribe_quietly(parts: Parts, prompt: StoredPrompt) -> None:
    try:
        transcript = await parts.transcription.transcribe(prompt.path, prompt.duration_s)
        if (await to_thread.run_sync(parts.store.prompt, prompt.id)).sha256 == prompt.sha256:
            await _keep(parts, prompt, transcript)
    except SpeechError as error:
        log.warning("transcription failed", code=error.code)


def _samples_in(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise BadValue("The directory of samples is not there; DIA_SAMPLES_DIR says where it is.")
    files = (file for file in directory.iterdir() if file.suffix.lower() in SAMPLE_ENDINGS)
    return sorted(file for file in files if file.is_file() and not file.name.startswith("."))


async def _discovered(parts: Parts, file: Path, retranscribe: bool) -> bool:
    """Take a file in, unless it is known and no older than its row; whether it was."""
    prompt_id = check_name(file.stem, "file name")
    said, believed = await to_thread.run_sync(_sidecar, file)
    known = await to_thread.run_sync(lambda: {prompt.id: prompt for prompt in parts.store.prompts()})
    prompt = known.get(prompt_id)
    written = (await to_thread.run_sync(file.stat)).st_mtime
    changed = datetime.fromtimestamp(written, UTC).isoformat()
    new = prompt is None or changed > prompt.discovered_at
    if prompt is None or new:
        prompt = await _take_in(parts, prompt_id, file, file.name, said, believed)
    elif said and prompt.transcript_source != "manual" and prompt.transcript != said:
        prompt = await _keep(parts, prompt, given(said, believed, prompt.duration_s))
    if prompt.transcript is None or (retranscribe and prompt.transcript_source == "whisper"):
        await _transcribe_later(parts, prompt)
    return new


def _sidecar(file: Path) -> tuple[str, Source]:
    """The text beside a sample, and of which kind; empty if there is none."""
    for source, ending in SIDECARS:
        beside = file.with_name(file.stem + ending)
        if beside.is_file():
            said = beside.read_bytes()[: 8 * LONGEST_TRANSCRIPT].decode("utf-8-sig", "replace").strip()
            return said[:LONGEST_TRANSCRIPT], source
    return "", "txt"


async def _voices_of(parts: Parts, prompt: StoredPrompt) -> list[str]:
    known = await to_thread.run_sync(parts.store.voices)
    return [voice.id for voice in known if voice.prompt == prompt.id and not voice.transcript]


def _warnings(prompt: StoredPrompt) -> list[str]:
    return [*prompt.warnings, *(SENTENCES[finding] for finding in prompt.transcript_findings)]


def _listed(prompt: StoredPrompt) -> dict[str, Any]:
    listed = {
        "file_path": f"prompts/{prompt.path.name}",
        "duration": prompt.duration_s,
        "sample_rate": prompt.sample_rate,
        "exists": prompt.exists,
    }
    return listed if prompt.exists else listed | {"error": "The file is gone: upload the sample again."}


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
        "language": prompt.transcript_language,
        "language_probability": prompt.transcript_language_probability,
        "warnings": _warnings(prompt),
        "waveform": prompt.waveform,
        "hash": prompt.sha256,
        "discovered_at": prompt.discovered_at,
        "exists": prompt.exists,
    }
