"""What the fields of Cartesia's websocket and HTTP routes mean, and the forms of their errors."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from starlette.requests import HTTPConnection

from streaming_server.audio.encoder import AudioOptions
from streaming_server.errors import SpeechError
from streaming_server.render import TimedWord
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import Encoding, Generation, SampleRate
from streaming_server.web.audio_fields import any_case
from streaming_server.web.generation_fields import Speed
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.vendors.model import ClientFields

ENCODINGS: dict[str, Encoding] = {
    "pcm_s16le": "pcm_s16le",
    "pcm_f32le": "pcm_f32le",
    "pcm_mulaw": "mulaw",
    "pcm_alaw": "alaw",
}

SampleEncoding = Annotated[Literal["pcm_s16le", "pcm_f32le", "pcm_mulaw", "pcm_alaw"], any_case]


class OutputFormat(ClientFields):
    container: Annotated[Literal["raw"], any_case] = "raw"
    encoding: SampleEncoding = "pcm_s16le"
    sample_rate: SampleRate

    @property
    def audio(self) -> AudioOptions:
        return AudioOptions(self.sample_rate, ENCODINGS[self.encoding])


class CartesiaVoiceChoice(ClientFields):
    """A voice. Clients of later versions send the id alone.

    Those of earlier versions send an embedding, which only the vendor's own models can speak: it has the id
    of no voice, so that the default voice speaks where it may stand in for an unknown one.
    """

    mode: Annotated[Literal["id", "embedding"], any_case] = "id"
    id: str = Field(min_length=1, max_length=128)

    @model_validator(mode="before")
    @classmethod
    def _of_an_id(cls, said: Any) -> Any:
        if isinstance(said, str):
            return {"id": said}
        if isinstance(said, dict) and said.get("mode") == "embedding":
            return {"mode": "embedding", "id": "embedding"}
        return said


EARLIER_SPEEDS: Mapping[str, float] = MappingProxyType({"slow": 0.8, "normal": 1.0, "fast": 1.2})


def _speed_of_a_word(said: Any) -> Any:
    return EARLIER_SPEEDS.get(said, said) if isinstance(said, str) else said


WordedSpeed = Annotated[Speed, BeforeValidator(_speed_of_a_word)]
"""A speed as a number, or as one of the words of the vendor's earlier versions."""


class GenerationConfig(ClientFields):
    speed: Speed | None = None


class CartesiaSpeechFields(ClientFields, SpeechFields):
    """The voice and its speed, for a context and for a request."""

    voice: CartesiaVoiceChoice
    speed: WordedSpeed | None = None
    generation_config: GenerationConfig | None = None

    def speech_options(self, audio: AudioOptions, name: str | None = None) -> SpeechOptions:
        """Return the options of speech. name: of its context, if it has one."""
        speed = self.generation_config.speed if self.generation_config else None
        options = SpeechOptions(self.voice.id, Generation(speed=speed), audio, door="cartesia", name=name)
        return self.over(options)


def word_timestamps(words: Iterable[TimedWord], sample_rate: int) -> dict[str, list[Any]]:
    """Return words as written and their times in seconds, in Cartesia's parallel lists."""
    words = list(words)
    return {
        "words": [word.written for word in words],
        "start": [round(word.first_sample / sample_rate, 4) for word in words],
        "end": [round(word.end_sample / sample_rate, 4) for word in words],
    }


def stream_error(error: SpeechError, context: str | None) -> dict[str, Any]:
    """Return an error as a stream tells it. `context_id` is always present: clients index it.

    `done` is false although the context ends: LiveKit takes true for a turn that was spoken whole.
    """
    status = {"type": "error", "context_id": context, "done": False, "status_code": error.http_status}
    return {**status, "error": error.message, **error_body(error)}


def error_body(error: SpeechError) -> dict[str, Any]:
    """Return an error in the form of an HTTP response."""
    return {
        "error_code": error.code,
        "title": error.code.replace("_", " ").capitalize(),
        "message": error.message,
        "request_id": str(uuid.uuid4()),
    }


def key_in(request: HTTPConnection) -> str | None:
    """Return the key from the places where Cartesia's clients put it."""
    query = request.query_params
    return request.headers.get("x-api-key") or query.get("access_token") or query.get("api_key")
