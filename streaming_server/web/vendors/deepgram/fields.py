"""What the fields of Deepgram's websocket and HTTP route mean, and the form of their errors."""

from __future__ import annotations

import re
import uuid

from starlette.requests import HTTPConnection

from streaming_server.errors import BadValue, SpeechError
from streaming_server.types import SAMPLE_RATES, Encoding
from streaming_server.web.services import SpeechServices

DEFAULT_RATE = 24_000
OPUS_RATE = 48_000
"""Hz; the vendor knows no other for opus."""
LAW_RATE = 8000
BAD_VALUE_STATUS = 400
"""The vendor's status for what the server answers with 422."""

ENCODINGS: dict[str, Encoding] = {"linear16": "pcm_s16le", "mulaw": "mulaw", "alaw": "alaw"}

_AURA = re.compile(r"aura(?:-\d+)?-([a-z]+)-[a-z]{2}")
"""A model of the vendor's: a voice and a language."""


def rate_of(encoding: str, sample_rate: int | None) -> int:
    """Return the rate in Hz of an encoding: the one asked for, or the usual one. Raise BadValue."""
    rate = _usual_rate(encoding) if sample_rate is None else sample_rate
    if rate not in SAMPLE_RATES:
        raise BadValue("must be one of " + ", ".join(map(str, SAMPLE_RATES)) + ".", field="sample_rate")
    return rate


def _usual_rate(encoding: str) -> int:
    """Return the rate in Hz of an encoding if the client names none."""
    match encoding:
        case "opus":
            return OPUS_RATE
        case "mulaw" | "alaw":
            return LAW_RATE
    return DEFAULT_RATE


def _token(request: HTTPConnection) -> str | None:
    """Return the second subprotocol that a browser offers, which carries its key."""
    offered = [part.strip() for part in request.headers.get("sec-websocket-protocol", "").split(",")]
    return offered[1] if len(offered) == 2 and offered[0].lower() in ("token", "bearer") else None


def key_in(request: HTTPConnection) -> str | None:
    """Return the key from the places where Deepgram's clients put it."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "token" and credentials:
        return credentials.strip()
    return _token(request)


def voice_of(services: SpeechServices, model: str) -> tuple[str, str | None]:
    """Return the id of the voice of a model, and a warning if it is not its own. Raise UnknownVoice.

    A model of the vendor's speaks with the voice of its name, or else with the default voice: clients send
    one where nobody chose.
    """
    catalogue, aura = services.catalogue, _AURA.fullmatch(model.strip().lower())
    for name in (model, aura[1] if aura else ""):
        if catalogue.knows(name):
            return catalogue.find(name).voice.id, None
    voice = catalogue.choose(model, substitute=aura is not None, field="model").voice.id
    return voice, f"model: unknown voice; using {voice} instead."


def error_body(error: SpeechError) -> dict[str, str]:
    """Return an error in the form of an HTTP response."""
    return {"err_code": error.code.upper(), "err_msg": error.message, "request_id": str(uuid.uuid4())}
