"""Bodies of the Dia server's speech routes."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from streaming_server.audio.encoder import AudioOptions
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import DEFAULT_VOICE, RANGES, Generation, Preset
from streaming_server.web.audio_fields import FormatName
from streaming_server.web.generation_fields import PRESET, TEMPERATURE, CfgFilterTopK, CfgScale, TopK
from streaming_server.web.speech_fields import SpeechFields

MAX_TOKENS = int(RANGES["max_tokens"][1])
"""The most Dia supports. The Dia server accepted up to 10,000, so larger values are capped."""


class GenerateRequest(SpeechFields):
    """A text with all its options."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    text: str = Field(min_length=1)
    voice_id: str = Field(min_length=1, max_length=128)
    response_format: FormatName = "wav"
    temperature: float | None = Field(None, ge=0.1, le=2.0, description=TEMPERATURE)
    cfg_scale: CfgScale | None = None
    cfg_filter_top_k: CfgFilterTopK | None = None
    top_p: float | None = Field(None, ge=0.0, le=1.0)
    top_k: TopK | None = None
    max_tokens: int | None = Field(None, ge=100, le=10_000)
    preset: Preset | None = Field(None, description=PRESET)

    @property
    def options(self) -> SpeechOptions:
        """The speech options. A `top_p` of 0 becomes the smallest value allowed."""
        generation = Generation(
            temperature=self.temperature,
            cfg_scale=self.cfg_scale,
            cfg_filter_top_k=self.cfg_filter_top_k,
            top_k=self.top_k,
            top_p=max(self.top_p, 1e-6) if self.top_p is not None else None,
            max_tokens=min(self.max_tokens, MAX_TOKENS) if self.max_tokens is not None else None,
            preset=self.preset,
        )
        audio = AudioOptions(format=self.response_format)
        return self.over(SpeechOptions(self.voice_id, generation, audio, door="rest"))


class PlainRequest(SpeechFields):
    """A text, a voice and the options of every door."""

    model_config = ConfigDict(extra="ignore")

    text: str = Field(min_length=1)
    voice_id: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=128)
