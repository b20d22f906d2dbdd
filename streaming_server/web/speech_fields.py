"""Fields of a request that every door understands."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from streaming_server.speech_options import SpeechOptions
from streaming_server.types import Generation, Speaker
from streaming_server.web.generation_fields import Pitch, Seed, Speed

_NAMES = ("language", "language_code", "lang_code", "lang")
"""Names that clients give to the language; the first that says one counts."""


class LanguageField(BaseModel):
    """A language tag, `en_GB` as well as `en-GB`, or `auto`, under any of the names clients give it."""

    language: str | None = Field(
        None,
        max_length=35,
        pattern=r"^([A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*)?$",
        description="a language tag, such as en-GB, or auto",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_one_name(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not any(name in value for name in _NAMES):
            return value
        tag = next((value[name] for name in _NAMES if value.get(name) not in (None, "")), None)
        others = {name: other for name, other in value.items() if name not in _NAMES}
        return {**others, "language": tag.replace("_", "-") if isinstance(tag, str) else tag}


VoiceName = Annotated[str, Field(min_length=1, max_length=128)]


class DialogueVoices(BaseModel):
    """The voices of `[S1]` and `[S2]`. An absent one is chosen by the server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    S1: VoiceName | None = None
    S2: VoiceName | None = None


class SpeechFields(LanguageField):
    """The server's own options, which every door understands under these names.

    They are fields of a body, of a query, or of the message that opens a context. text_processing: False
    speaks the text unchanged. voices: for engines that do not read speaker tags; a JSON object in a query.
    """

    text_processing: bool | None = None
    seed: Seed | None = None
    speed: Speed | None = None
    pitch: Pitch | None = None
    voices: DialogueVoices | None = None

    @field_validator("voices", mode="before")
    @classmethod
    def _of_a_query(cls, value: Any) -> Any:
        """Parse a flat JSON object; anything else is left to the model."""
        if not isinstance(value, str) or not value.startswith("{"):
            return value
        try:
            voices = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
        flat = not any(isinstance(voice, dict | list) for voice in voices.values())
        return voices if flat else value

    @property
    def speakers(self) -> dict[Speaker, str]:
        """The chosen voices by tag."""
        voices = self.voices or DialogueVoices()
        speakers: dict[Speaker, str | None] = {"S1": voices.S1, "S2": voices.S2}
        return {speaker: voice for speaker, voice in speakers.items() if voice is not None}

    def over(self, options: SpeechOptions) -> SpeechOptions:
        """Return options in which these take precedence where they are given."""
        asked = Generation(language=self.language, speed=self.speed, pitch=self.pitch, seed=self.seed)
        processed = options.text_processing if self.text_processing is None else self.text_processing
        return replace(
            options,
            generation=asked.over(options.generation),
            text_processing=processed,
            voices={**options.voices, **self.speakers},
        )
