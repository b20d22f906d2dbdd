"""A stored sample, as the routes find it and tell of it."""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from starlette.requests import Request

from streaming_server.errors import UnknownPrompt
from streaming_server.storage.voices import StoredPrompt
from streaming_server.transcription.transcript import sentence_of
from streaming_server.web.services import parts_of

FILE_GONE = "The file of the sample is gone: upload it again."


async def stored_prompt(request: Request) -> StoredPrompt:
    """The sample that the path names. Raises UnknownPrompt."""
    store = parts_of(request).store
    return await to_thread.run_sync(store.prompt, request.path_params["prompt_id"])


async def stored_recording(request: Request) -> StoredPrompt:
    """The sample that the path names, with its file. Raises UnknownPrompt."""
    prompt = await stored_prompt(request)
    if not await to_thread.run_sync(lambda: prompt.exists):
        raise UnknownPrompt(FILE_GONE)
    return prompt


def warnings_of(prompt: StoredPrompt) -> list[str]:
    """What whoever uses it should know, as sentences."""
    return [*prompt.warnings, *map(sentence_of, prompt.transcript_findings)]


def told_briefly(prompt: StoredPrompt) -> dict[str, Any]:
    """A sample in a list of all. Blocks."""
    exists = prompt.exists
    listed = {
        "file_path": f"prompts/{prompt.path.name}",
        "duration": prompt.duration_s,
        "sample_rate": prompt.sample_rate,
        "exists": exists,
    }
    return listed if exists else listed | {"error": FILE_GONE}


def told(prompt: StoredPrompt) -> dict[str, Any]:
    """All that is known of a sample. Blocks."""
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
        "warnings": warnings_of(prompt),
        "waveform": prompt.waveform,
        "hash": prompt.sha256,
        "discovered_at": prompt.discovered_at,
        "exists": prompt.exists,
    }
