"""What the fields of ElevenLabs' websockets and HTTP routes mean, and the forms of their errors."""

from __future__ import annotations

from typing import Any

from starlette.requests import HTTPConnection

from streaming_server.errors import SpeechError
from streaming_server.web.generation_fields import Speed
from streaming_server.web.vendors.model import ClientFields


class VoiceSettings(ClientFields):
    speed: Speed | None = None


def key_in(request: HTTPConnection) -> str | None:
    """Return the key from the places where ElevenLabs' clients put it."""
    headers, query = request.headers, request.query_params
    return headers.get("xi-api-key") or query.get("xi-api-key") or query.get("single_use_token")


def error_body(error: SpeechError) -> dict[str, Any]:
    """Return an error in the form of an HTTP response."""
    return {"detail": {"status": error.code, "message": error.message}}


def error_fields(error: SpeechError) -> dict[str, Any]:
    """Return an error in the form of a message."""
    return {"error": error.message, "message": error.message, "code": error.code}
