"""The routes of the configuration."""

from __future__ import annotations

from anyio import to_thread
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from streaming_server.configuration import ServerConfig
from streaming_server.errors import StorageFailure
from streaming_server.transcription.client import check_model
from streaming_server.web.keyed import admin_keyed
from streaming_server.web.openapi.operation import BODY_ERRORS, operation
from streaming_server.web.requests import read_json
from streaming_server.web.responses import Json
from streaming_server.web.services import operations, speech_services, voice_services


def routes() -> list[BaseRoute]:
    return [
        Route("/config", admin_keyed(get_config), methods=["GET"]),
        Route("/config", admin_keyed(put_config), methods=["PUT"]),
    ]


@operation("operator", "Get the configuration")
async def get_config(request: Request) -> Json[ServerConfig]:
    return Json(operations(request).configuration.now)


@operation(
    "operator",
    "Replace the configuration; fields left out get their default",
    body=ServerConfig,
    errors=(*BODY_ERRORS, StorageFailure),
)
async def put_config(request: Request) -> Json[ServerConfig]:
    configuration, voices = operations(request).configuration, voice_services(request)
    config = await read_json(request, ServerConfig)
    if config.whisper_model_size != configuration.now.whisper_model_size:
        started_with = speech_services(request).settings.whisper_model
        check_model(config.whisper_model_size, started_with, "whisper_model_size")
    await to_thread.run_sync(configuration.put, config)
    voices.whisper.use(config.whisper_model_size)
    voices.transcription_queue.schedule()
    return Json(configuration.now)
