"""ElevenLabs' websockets, `multi-stream-input` and `stream-input`: their handshakes."""

from __future__ import annotations

from pydantic import Field
from starlette.requests import HTTPConnection

from streaming_server.errors import SpeechError
from streaming_server.speech_options import SpeechOptions
from streaming_server.web.services import SpeechServices
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.validation import validated_query
from streaming_server.web.vendors.elevenlabs.fields import error_body, key_in
from streaming_server.web.vendors.elevenlabs.formats import audio_options
from streaming_server.web.vendors.elevenlabs.multi_stream import (
    MultiStreamOptions,
    MultiStreamSession,
    key_in_message,
    refusal_message,
)
from streaming_server.web.vendors.elevenlabs.single_stream import StreamSession
from streaming_server.web.vendors.model import ClientFields
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Handshake, Refusal

LONGEST_INACTIVITY_S = 180.0
"""The vendor's longest `inactivity_timeout`; clients ask for more."""


class ElevenLabsHandshakeQuery(ClientFields, SpeechFields):
    """The parameters of the handshake that have a meaning here."""

    output_format: str | None = None
    auto_mode: bool = False
    inactivity_timeout: float = Field(20.0, gt=0)


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


def _refusal(error: SpeechError) -> Refusal:
    return Refusal(error_body(error), message=refusal_message(error))


multi_stream_input = Handshake(_multi, _refusal, key_in, late_key=key_in_message, handles_first=True)
"""The ASGI endpoint of `/v1/text-to-speech/{voice}/multi-stream-input`."""

stream_input = Handshake(_single, _refusal, key_in, late_key=key_in_message, handles_first=True)
"""The ASGI endpoint of `/v1/text-to-speech/{voice}/stream-input`."""
