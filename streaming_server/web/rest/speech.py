"""The routes of Dia's own server that speak."""

from __future__ import annotations

import uuid
from pathlib import Path

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import EngineFailure, Full, StorageFailure
from streaming_server.render import Rendering
from streaming_server.storage.job_records import JobStatus
from streaming_server.storage.recorder import SpeechRecord
from streaming_server.web.keyed import keyed
from streaming_server.web.openapi.operation import SPEECH_ERRORS, operation
from streaming_server.web.requests import read_json
from streaming_server.web.responses import Json, error_response
from streaming_server.web.rest.generate_request import GenerateRequest, PlainRequest
from streaming_server.web.services import (
    SpeechServices,
    job_services,
    loaded_engine,
    operations,
    output_services,
    speech_services,
)
from streaming_server.web.speech_response import SpeechResponse
from streaming_server.web.validation import validated_query

MAX_ID_CHARS = 128
"""Most characters of an X-Request-ID that is echoed."""


class GenerateQuery(BaseModel):
    async_mode: bool = Field(False, description="Queue a job and answer at once.")


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
    query=GenerateQuery,
    errors=(*SPEECH_ERRORS, StorageFailure),
)
async def generate(request: Request) -> SpeechResponse | Json[QueuedJob]:
    wanted = await read_json(request, GenerateRequest)
    if validated_query(GenerateQuery, request.query_params).async_mode:
        return await _enqueue(request, wanted)
    return _spoken(request, wanted)


@operation(
    "speech",
    "Speak a text with default options",
    body=PlainRequest,
    media=("audio/wav",),
    errors=SPEECH_ERRORS,
)
async def generate_plainly(request: Request) -> SpeechResponse:
    """Only the voice and the options of every door can be chosen."""
    plain = await read_json(request, PlainRequest)
    return _spoken(request, GenerateRequest(**plain.model_dump(exclude_none=True)))


@operation("speech", "Get the engine", errors=(Full, EngineFailure))
async def models(request: Request) -> Json[SpeechModels]:
    info = loaded_engine(speech_services(request))
    description = f"Speaks at {info.sample_rate} Hz, {info.slots} utterances at once on each device."
    if info.notice:
        description += f" {info.notice}"
    return Json({"models": [{"id": "dia", "name": info.name, "description": description}]})


async def _enqueue(request: Request, wanted: GenerateRequest) -> Json[QueuedJob]:
    services = speech_services(request)
    services.contexts.check_length(wanted.text)
    services.catalogue.choose(wanted.voice_id)
    if (engine := services.pool.info) is not None:  # Otherwise the job fails with the reason.
        services.contexts.check(engine, wanted.options)
    job = await job_services(request).queue.add(wanted.model_dump(exclude_none=True))
    return Json(
        {
            "job_id": job.id,
            "status": job.status,
            "message": "The job is waiting.",
            "status_url": f"/jobs/{job.id}",
            "result_url": f"/jobs/{job.id}/result",
        }
    )


def _spoken(request: Request, wanted: GenerateRequest) -> SpeechResponse:
    services = speech_services(request)
    recorder = output_services(request).recorder
    name = f"speech.{wanted.response_format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if operations(request).configuration.now.debug_mode:
        asked_id = request.headers.get("x-request-id", "")
        fits = asked_id.isascii() and asked_id.isprintable() and 1 <= len(asked_id) <= MAX_ID_CHARS
        headers["X-Generation-ID"] = asked_id if fits else uuid.uuid4().hex
    return SpeechResponse(
        services,
        wanted.text,
        wanted.options,
        explain=error_response,
        headers=headers,
        body=lambda rendering: recorder.record(rendering.audio(), _record(services, wanted, rendering)),
    )


def _record(services: SpeechServices, wanted: GenerateRequest, rendering: Rendering) -> SpeechRecord:
    voice_sample = services.catalogue.find(rendering.voice).voice.voice_sample
    return SpeechRecord(
        text=wanted.text,
        voice=rendering.voice,
        voice_sample=Path(voice_sample.path).name if voice_sample else None,
        extension=wanted.response_format,
        final_head=rendering.final_head,
        audio_s=lambda: rendering.audio_s,
    )
