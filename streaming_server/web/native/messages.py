"""The messages of a client on the native websocket."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from streaming_server.errors import BadMessage, SpeechError
from streaming_server.speech_options import UNPACED_MS
from streaming_server.text.language import is_auto
from streaming_server.types import DEFAULT_VOICE, EngineInfo, Generation, Preset, SampleRate
from streaming_server.web.audio_fields import EncodingName
from streaming_server.web.generation_fields import (
    CfgFilterTopK,
    CfgScale,
    MaxTokens,
    Temperature,
    TopK,
    TopP,
)
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.validation import MOST_LEVELS, validated
from streaming_server.web.websocket.decoding import decode_json, has_surrogates


def _encodable(text: str) -> str:
    if has_surrogates(text):
        raise ValueError("must not hold half of a surrogate pair")
    return text


MOST_FIELDS = 64
"""Most fields of a message that pydantic checks directly; larger ones are measured first."""

Encodable = Annotated[str, AfterValidator(_encodable)]
"""Text that is sent back to the client, and so must be whole."""

ContextName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_encodable)]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class OpeningMessage(_Message, SpeechFields):
    """The options of `start` and `speak`. Others are reported in `started.ignored`."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, extra="allow")

    context: ContextName = "default"
    voice: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=128)
    sample_rate: SampleRate | None = None
    encoding: EncodingName = "pcm_s16le"
    words: bool = False
    max_lead_ms: int | None = Field(None, ge=200, le=UNPACED_MS)
    temperature: Temperature | None = None
    cfg_scale: CfgScale | None = None
    cfg_filter_top_k: CfgFilterTopK | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    max_tokens: MaxTokens | None = None
    preset: Preset | None = None

    @property
    def generation(self) -> Generation:
        """The options of generation besides those of every door, which `over` adds."""
        return Generation(
            temperature=self.temperature,
            cfg_scale=self.cfg_scale,
            cfg_filter_top_k=self.cfg_filter_top_k,
            top_p=self.top_p,
            top_k=self.top_k,
            max_tokens=self.max_tokens,
            preset=self.preset,
        )

    def ignored(self, engine: EngineInfo) -> list[str]:
        """Return the given options that have no effect, with this engine.

        Speed always has one: what the engine does not do is done by stretching its audio. So has the language
        `auto`, which asks for nothing that an engine could lack.
        """
        generation = set(Generation.__dataclass_fields__)
        unused = (self.model_fields_set & generation) - engine.uses - {"speed"}
        if is_auto(self.language):
            unused -= {"language"}
        if self.voices is not None and engine.dialogue:
            unused |= {"voices"}
        return sorted(unused | set(self.__pydantic_extra__ or {}))


class StartMessage(OpeningMessage):
    type: Literal["start"]


class SpeakMessage(OpeningMessage):
    type: Literal["speak"]
    text: str


class TextMessage(_Message):
    type: Literal["text"]
    context: ContextName = "default"
    text: str


class FlushMessage(_Message):
    type: Literal["flush"]
    context: ContextName = "default"


class FinishMessage(_Message):
    type: Literal["finish"]
    context: ContextName = "default"


class CancelMessage(_Message):
    type: Literal["cancel"]
    context: ContextName = "default"


class PlayedMessage(_Message):
    type: Literal["played"]
    context: ContextName = "default"
    samples: int = Field(ge=0, lt=2**63)


class AuthMessage(_Message):
    type: Literal["auth"]
    key: str = Field(max_length=4096)


class PingMessage(_Message):
    type: Literal["ping"]
    id: Encodable | Annotated[int, Field(ge=-(2**53), le=2**53)] | None = None


Message = (
    StartMessage
    | SpeakMessage
    | TextMessage
    | FlushMessage
    | FinishMessage
    | CancelMessage
    | PlayedMessage
    | AuthMessage
    | PingMessage
)

_MODELS: Mapping[str, type[Message]] = MappingProxyType(
    {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(Message)}
)
_NAME_READER: TypeAdapter[str] = TypeAdapter(ContextName)
_READER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def read(raw: str) -> Message:
    """Decode one client message. Raise BadMessage or BadValue, which name the field, never its content."""
    value = decode_json(raw)
    if not isinstance(value, dict):
        raise BadMessage("A message must be a JSON object with a type.")
    # Deeply nested or very wide messages are measured before pydantic sees them.
    if raw.count("[") + raw.count("{") <= MOST_LEVELS and raw.count('":') <= MOST_FIELDS:
        with suppress(ValidationError):
            return _READER.validate_python(value)
    kind = value.get("type")
    if kind is None:
        raise BadMessage("A message must have a type.")
    if not isinstance(kind, str) or kind not in _MODELS:
        raise BadMessage("Unknown message type.")
    return validated(_MODELS[kind], value)  # For the error message that HTTP routes give too.


def address_of(raw: str) -> tuple[str | None, str | None]:
    """Return the type of a message that cannot be read, and the context it was to open, if it says so."""
    try:
        value = decode_json(raw)
    except SpeechError:
        return None, None
    if not isinstance(value, dict) or value.get("type") not in ("start", "text", "speak"):
        return None, None
    name = value.get("context", "default")
    try:
        return value["type"], _NAME_READER.validate_python(name, strict=True)
    except ValidationError:
        return None, None
