"""ElevenLabs' websockets, `multi-stream-input` and `stream-input`: who comes in, and what they ask for."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from pydantic import Field
from starlette.requests import HTTPConnection

from streaming_server.errors import SpeechError
from streaming_server.types import Generation
from streaming_server.web.services import Parts
from streaming_server.web.validation import validated_query
from streaming_server.web.vendors.elevenlabs.formats import output_format
from streaming_server.web.vendors.elevenlabs.multi_stream import Manner, MultiStreamSession
from streaming_server.web.vendors.elevenlabs.single_stream import StreamSession
from streaming_server.web.vendors.model import Model
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Door, Refusal

LONGEST_PATIENCE_S = 180.0
"""The vendor's own longest `inactivity_timeout`; clients ask for more."""


class Query(Model):
    """What of the handshake's query means something here."""

    output_format: str | None = None
    language_code: str | None = Field(None, max_length=35)
    auto_mode: bool = False
    inactivity_timeout: float = Field(20.0, gt=0)
    seed: int | None = Field(None, ge=0, lt=2**63)


def key_in(request: HTTPConnection) -> str | None:
    """ElevenLabs' own places of a key."""
    headers, query = request.headers, request.query_params
    return headers.get("xi-api-key") or query.get("xi-api-key") or query.get("single_use_token")


def _manner(request: HTTPConnection, parts: Parts) -> Manner:
    """Raises BadValue, UnknownVoice."""
    voice = request.path_params["voice"]
    parts.catalogue.find(voice)
    query = validated_query(Query, request.query_params)
    return Manner(
        voice,
        Generation(language=query.language_code or None, seed=query.seed),
        output_format(query.output_format),
        "sentences" if query.auto_mode else "verbatim",
        min(query.inactivity_timeout, LONGEST_PATIENCE_S),
    )


def _begin_multi(
    request: HTTPConnection, parts: Parts, connection: Connection, place: ExitStack | None
) -> MultiStreamSession:
    return MultiStreamSession(parts, connection, _manner(request, parts), place)


def _begin_single(
    request: HTTPConnection, parts: Parts, connection: Connection, place: ExitStack | None
) -> StreamSession:
    return StreamSession(parts, connection, _manner(request, parts), place)


def described(error: SpeechError) -> dict[str, Any]:
    """An error as it is told over HTTP."""
    return {"detail": {"status": error.code, "message": error.message}}


def _refusal(error: SpeechError) -> Refusal:
    return Refusal(described(error))


multi_stream_input = Door(key_in, _begin_multi, _refusal, late_key=True)
"""The ASGI endpoint of `/v1/text-to-speech/{voice}/multi-stream-input`."""

stream_input = Door(key_in, _begin_single, _refusal, late_key=True)
"""The ASGI endpoint of `/v1/text-to-speech/{voice}/stream-input`."""
