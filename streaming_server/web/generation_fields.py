"""The numbers of `Generation` as fields of requests."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from streaming_server.types import RANGES

TEMPERATURE = (
    "0 takes the likeliest code always; values below 1 are used as they are, as by the nari-labs package,"
    " whereas transformers raises them to 1"
)

PRESET = (
    "sampling of Dia by name, for the options that are absent: default (temperature 1.2, top-p 0.95,"
    " guidance 3), example (1.8, 0.90, 3) or clone (1.8, 0.90, 4)"
)


def _within(name: str) -> Any:
    least, most = RANGES[name]
    return Field(ge=least, le=most)


Speed = Annotated[float, _within("speed")]
Pitch = Annotated[float, _within("pitch")]
Seed = Annotated[int, _within("seed")]
Temperature = Annotated[float, _within("temperature")]
CfgScale = Annotated[float, _within("cfg_scale")]
CfgFilterTopK = Annotated[int, _within("cfg_filter_top_k")]
TopP = Annotated[float, Field(gt=RANGES["top_p"][0], le=RANGES["top_p"][1])]
TopK = Annotated[int, _within("top_k")]
MaxTokens = Annotated[int, _within("max_tokens")]
