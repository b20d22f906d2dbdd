"""ElevenLabs' websockets, `multi-stream-input` and `stream-input`: their handshakes."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import HTTPConnection

from streaming_server.contexts import SpeechOptions
from streaming_server.errors import SpeechError
from streaming_server.web.services import SpeechServices
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.validation import validated_query
from streaming_server.web.vendors.elevenlabs.formats import audio_options
from streaming_server.web.vendors.elevenlabs.multi_stream import (
    MultiStreamOptions,
    MultiStreamSession,
    key_in_message,
    refusal_message,
)
from streaming_server.web.vendors.elevenlabs.single_stream import StreamSession
from streaming_server.web.vendors.model import Model
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Handshake, Refusal

LONGEST_INACTIVITY_S = 180.0
"""The vendor's longest `inactivity_timeout`; clients ask for more."""


class ElevenLabsHandshakeQuery(Model, SpeechFields):
    """The parameters of the handshake that have a meaning here."""

    output_format: str | None = None
    auto_mode: bool = False
    inactivity_timeout: float = Field(20.0, gt=0)


def key_in(request: HTTPConnection) -> str | None:
    """Return the key from the places where ElevenLabs' clients put it."""
    headers, query = request.headers, request.query_params
    return headers.get("xi-api-key") or query.get("xi-api-key") or query.get("single_use_token")


def _options(request: HTTPConnection, services: SpeechServices) -> MultiStreamOptions:
    """Raise BadValue, UnknownVoice."""
    voice = services.catalogue.choose(request.path_params["voice"]).voice.id
    query = validated_query(ElevenLabsHandshakeQuery, request.query_params)
    audio = audio_options(query.output_format, files=False)
    return MultiStreamOptions(
        query.over(SpeechOptions(voice, audio=audio, door="elevenlabs")),
        "sentences" if query.auto_mode else "verbatim",
        min(query.inactivity_timeout, LONGEST_INACTIVITY_S),
    )


def _multi(request: HTTPConnection, services: SpeechServices, connection: Connection) -> MultiStreamSession:
    return MultiStreamSession(services, connection, _options(request, services))


def _single(request: HTTPConnection, services: SpeechServices, connection: Connection) -> StreamSession:
    return StreamSession(services, connection, _options(request, services))


def described(error: SpeechError) -> dict[str, Any]:
    """Return an error in the form of an HTTP response."""
    return {"detail": {"status": error.code, "message": error.message}}


def _refusal(error: SpeechError) -> Refusal:
    return Refusal(described(error), message=refusal_message(error))


multi_stream_input = Handshake(_multi, _refusal, key_in, late_key=key_in_message, handles_first=True)
"""The ASGI endpoint of `/v1/text-to-speech/{voice}/multi-stream-input`."""

stream_input = Handshake(_single, _refusal, key_in, late_key=key_in_message, handles_first=True)
"""The ASGI endpoint of `/v1/text-to-speech/{voice}/stream-input`."""
