"""Speech over HTTP as the clients of the earlier server ask for it."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import BadValue, EngineFailure, Full, StorageFailure
from streaming_server.storage.jobs import JobStatus
from streaming_server.web.openapi.operation import SPEECH_ERRORS, Parameter, operation
from streaming_server.web.reading import SpokenResponse
from streaming_server.web.requests import flag, keyed, read_json
from streaming_server.web.responses import Json, error_response
from streaming_server.web.rest.generate_request import LONGEST_TEXT, GenerateRequest, PlainRequest
from streaming_server.web.rest.outputs import kept
from streaming_server.web.services import Parts, parts_of

LONGEST_ID = 128


class QueuedJob(TypedDict):
    job_id: str
    status: JobStatus
    message: str
    status_url: str
    result_url: str


class SpeechModel(TypedDict):
    id: str
    name: str
    description: str


class SpeechModels(TypedDict):
    models: list[SpeechModel]


def routes() -> list[BaseRoute]:
    return [
        Route("/generate", keyed(generate), methods=["POST"]),
        Route("/api/tts/generate", keyed(generate_plainly), methods=["POST"]),
        Route("/models", keyed(models)),
    ]


@operation(
    "speech",
    "Speak a text",
    description=(
        "The audio while it is made: its length is not known in advance, so a WAV header says 4 GiB. With "
        "`async_mode`, the job."
    ),
    body=GenerateRequest,
    query=(Parameter("async_mode", bool, "Queue a job, for a text of any length, and answer at once."),),
    errors=(*SPEECH_ERRORS, StorageFailure),
)
async def generate(request: Request) -> SpokenResponse | Json[QueuedJob]:
    """The sound of a text while it is made, or with `async_mode=true` a job."""
    parts = parts_of(request)
    wanted = await read_json(request, GenerateRequest)
    if flag(request, "async_mode"):
        return await _enqueue(parts, wanted)
    return _spoken(request, wanted)


@operation(
    "speech",
    "Speak a text with default options",
    body=PlainRequest,
    media=("audio/wav",),
    errors=SPEECH_ERRORS,
)
async def generate_plainly(request: Request) -> SpokenResponse:
    """The sound of a text, with nothing to choose but the voice."""
    plain = await read_json(request, PlainRequest)
    return _spoken(request, GenerateRequest(text=plain.text, voice_id=plain.voice_id))


@operation("speech", "Get the engine", errors=(Full, EngineFailure))
async def models(request: Request) -> Json[SpeechModels]:
    info = await parts_of(request).pool.engine()
    description = f"Speaks at {info.sample_rate} Hz, {info.slots} utterances at once on each device."
    if info.notice:
        description += f" {info.notice}"
    return Json({"models": [{"id": "dia", "name": info.name, "description": description}]})


async def _enqueue(parts: Parts, wanted: GenerateRequest) -> Json[QueuedJob]:
    _check_length(wanted.text, parts.settings.max_context_characters)
    parts.catalogue.find(wanted.voice_id)
    job = await parts.job_queue.add(wanted.model_dump(exclude_none=True))
    return Json(
        {
            "job_id": job.id,
            "status": job.status,
            "message": "The text waits to be spoken.",
            "status_url": f"/jobs/{job.id}",
            "result_url": f"/jobs/{job.id}/result",
        }
    )


def _spoken(request: Request, wanted: GenerateRequest) -> SpokenResponse:
    parts = parts_of(request)
    _check_length(wanted.text, LONGEST_TEXT, "; a longer one with async_mode=true")
    wish = wanted.wish
    name = f"speech.{wish.audio_format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if parts.configuration.now.debug_mode:
        asked_id = request.headers.get("x-request-id", "")
        fits = asked_id.isascii() and asked_id.isprintable() and 1 <= len(asked_id) <= LONGEST_ID
        headers["X-Generation-ID"] = asked_id if fits else uuid.uuid4().hex
    return SpokenResponse(
        parts,
        wish,
        explain=error_response,
        headers=headers,
        body=lambda reading: kept(parts, wanted, reading),
    )


def _check_length(text: str, longest: int, otherwise: str = "") -> None:
    """Raises BadValue."""
    if not 1 <= len(text) <= longest:
        raise BadValue(f"must be a string of 1 to {longest} characters{otherwise}.", field="text")
