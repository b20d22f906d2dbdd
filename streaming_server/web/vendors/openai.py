"""OpenAI's speech over HTTP, and the lists that chat front ends ask for."""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import wraps
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from streaming_server.audio.encoder import AudioOptions
from streaming_server.errors import SpeechError, Unauthorized
from streaming_server.render import Rendering
from streaming_server.settings import OPENAI_VOICES
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import BUILTIN_VOICES, DEFAULT_VOICE
from streaming_server.voices.catalogue import Catalogue
from streaming_server.web.audio_fields import FormatName, any_case
from streaming_server.web.keyed import Endpoint, check_key
from streaming_server.web.keys import key_of
from streaming_server.web.openapi.operation import AUDIO, Parameter, operation
from streaming_server.web.requests import read_json
from streaming_server.web.responses import Json
from streaming_server.web.services import speech_services
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.speech_response import SpeechResponse
from streaming_server.web.validation import validated_query
from streaming_server.web.vendors.http_door import HttpDoor
from streaming_server.web.vendors.model import ClientFields

PCM_RATE = 24_000
"""Hz of `pcm`, which has no header: every client takes it for this."""
MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "dia")
"""Names that clients ask for; the running engine speaks for all of them."""


class VoiceObject(ClientFields):
    id: str = Field(min_length=1, max_length=128)


class OpenAISpeechBody(ClientFields, SpeechFields):
    """The fields of a request that have a meaning here, with OpenAI's defaults."""

    input: str = Field(min_length=1)
    voice: str | VoiceObject = DEFAULT_VOICE.id
    response_format: FormatName = "mp3"
    stream_format: Annotated[Literal["audio", "sse"], any_case] = "audio"

    def options(self, catalogue: Catalogue) -> SpeechOptions:
        voice = self.voice if isinstance(self.voice, str) else self.voice.id
        rate = PCM_RATE if self.response_format == "pcm" else None
        return self.over(
            SpeechOptions(
                catalogue.alias_first(voice),
                audio=AudioOptions(rate, format=self.response_format),
                door="openai",
            )
        )


NonEmptyText = Annotated[str, Field(min_length=1)]

QUERY = (
    Parameter(
        "input", NonEmptyText, "The text, for clients that send everything in the query instead of a body."
    ),
    Parameter("voice", str, "With `input`."),
)


def _error_body(error: SpeechError) -> dict[str, Any]:
    """Return an error in OpenAI's form."""
    kind = "invalid_request_error" if error.http_status < 500 else "server_error"
    param = "input" if error.field == "text" else error.field
    return {"error": {"message": error.message, "type": kind, "param": param, "code": error.code}}


_DOOR = HttpDoor(key_of, _error_body, bad_value_status=400)


def routes() -> list[BaseRoute]:
    return [
        Route("/v1/audio/speech", _with_request_id(_DOOR.keyed(speech)), methods=["POST"]),
        Route("/v1/models", _with_request_id(_DOOR.open(models))),
        Route("/v1/models/{model}", _with_request_id(_DOOR.open(model))),
        Route("/v1/audio/models", _with_request_id(_DOOR.open(audio_models))),
        Route("/v1/audio/voices", _with_request_id(_DOOR.open(voices))),
    ]


@operation(
    "OpenAI",
    "Speak a text",
    docs="https://platform.openai.com/docs/api-reference/audio/createSpeech",
    body=OpenAISpeechBody,
    body_required=False,
    query=QUERY,
    media=(*AUDIO, "text/event-stream"),
)
async def speech(request: Request) -> SpeechResponse:
    """Speak a text, as a file or as events."""
    services, wanted = speech_services(request), await _read(request)
    events = wanted.stream_format == "sse"
    return SpeechResponse(
        services,
        wanted.input,
        wanted.options(services.catalogue),
        explain=lambda error: _add_request_id(_DOOR.refusal(error)),
        body=_events if events else Rendering.audio,
        media_type="text/event-stream" if events else None,
        headers={"x-request-id": _new_id()},
    )


@operation(
    "OpenAI",
    "List the models",
    docs="https://platform.openai.com/docs/api-reference/models/list",
)
async def models(request: Request) -> Json[dict[str, Any]]:
    return Json({"object": "list", "data": [_model(name) for name in MODELS]})


@operation(
    "OpenAI",
    "Get a model",
    docs="https://platform.openai.com/docs/api-reference/models/retrieve",
)
async def model(request: Request) -> Json[dict[str, Any]]:
    name = request.path_params["model"].strip().lower()
    if name not in MODELS:
        message = f"The model {name!r} does not exist."
        error = {"message": message, "type": "invalid_request_error", "param": "model"}
        return Json({"error": {**error, "code": "model_not_found"}}, status_code=404)
    return Json(_model(name))


@operation(
    "OpenAI",
    "List the models, as Open WebUI asks",
    docs="https://docs.openwebui.com/",
)
async def audio_models(request: Request) -> Json[dict[str, Any]]:
    """List models as Open WebUI asks, without a key."""
    return Json({"models": [{"id": name} for name in MODELS]})


@operation(
    "OpenAI",
    "List the voices, as Open WebUI asks",
    docs="https://docs.openwebui.com/",
    query=(Parameter("legacy", str, "`true` returns only the ids."),),
)
async def voices(request: Request) -> Json[dict[str, Any]]:
    """List voices as Open WebUI asks, without a key; with `?legacy=true` the ids alone.

    Without a valid key, where one is needed, only the voices and aliases that every server has are listed.
    """
    services = speech_services(request)
    admitted = await _is_admitted(request)
    known = {voice.id: voice.name for voice in (services.catalogue.voices if admitted else BUILTIN_VOICES)}
    aliases = [name for name in services.settings.voice_aliases if admitted or name in OPENAI_VOICES]
    known |= {name: name.title() for name in aliases if name not in known}
    if request.query_params.get("legacy", "").lower() == "true":
        return Json({"voices": list(known)})
    return Json({"voices": [{"id": voice, "name": name} for voice, name in known.items()]})


async def _is_admitted(request: Request) -> bool:
    """Return whether the request's key is valid, or none is needed."""
    try:
        await check_key(request, key_of(request))
    except Unauthorized:
        return False
    return True


async def _read(request: Request) -> OpenAISpeechBody:
    """Read the body, or the query as the earlier server's clients send it."""
    if "input" not in request.query_params:
        return await read_json(request, OpenAISpeechBody)
    return validated_query(OpenAISpeechBody, {"response_format": "wav", **request.query_params})


async def _events(rendering: Rendering) -> AsyncGenerator[bytes, None]:
    """Yield base64 pieces of the file as events, then the usage, all zero."""
    async with aclosing(rendering.audio()) as audio:
        async for data in audio:
            yield _event({"type": "speech.audio.delta", "audio": b64encode(data).decode()})
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    yield _event({"type": "speech.audio.done", "usage": usage})


def _event(message: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(message) + b"\n\n"


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "streaming-server"}


def _with_request_id(endpoint: Endpoint) -> Endpoint:
    """Add a request id to the endpoint's responses."""

    @wraps(endpoint)
    async def numbered(request: Request) -> Response:
        answer = await endpoint(request)
        return answer if isinstance(answer, SpeechResponse) else _add_request_id(answer)

    return numbered


def _add_request_id(answer: Response) -> Response:
    answer.headers["x-request-id"] = _new_id()
    return answer


def _new_id() -> str:
    return f"req_{uuid.uuid4().hex}"
