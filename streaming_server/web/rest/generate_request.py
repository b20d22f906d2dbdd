"""A text and how to speak it, as the earlier server's clients ask for it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from streaming_server.audio.formats import AudioFormat
from streaming_server.types import DEFAULT_VOICE, Generation
from streaming_server.web.reading import Wish

LONGEST_TEXT = 4096
"""Of a text that is answered with its sound; a job's may be as long as a context's."""
MOST_TOKENS = 3072
"""Dia's; the earlier server took up to 10000, and failed."""


class GenerateRequest(BaseModel):
    """A text and how to speak it."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    text: str = Field(json_schema_extra={"minLength": 1})
    voice_id: str = Field(min_length=1, max_length=128)
    response_format: AudioFormat = "wav"
    speed: float | None = Field(None, ge=0.25, le=4.0)
    temperature: float | None = Field(None, ge=0.1, le=2.0)
    cfg_scale: float | None = Field(None, ge=1.0, le=10.0)
    top_p: float | None = Field(None, ge=0.0, le=1.0)
    max_tokens: int | None = Field(None, ge=100, le=10_000)
    seed: int | None = Field(None, ge=0, lt=2**63)

    @property
    def wish(self) -> Wish:
        """Without the asterisks of Markdown; a `top_p` of 0 is the least there is."""
        return Wish(
            " ".join(self.text.replace("*", "").split()),
            self.voice_id,
            Generation(
                speed=self.speed,
                seed=self.seed,
                temperature=self.temperature,
                cfg_scale=self.cfg_scale,
                top_p=max(self.top_p, 1e-6) if self.top_p is not None else None,
                max_tokens=min(self.max_tokens, MOST_TOKENS) if self.max_tokens is not None else None,
            ),
            self.response_format,
        )


class PlainRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)
    voice_id: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=128)
