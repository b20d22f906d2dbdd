"""The numbers of `Generation` as fields of requests."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from streaming_server.types import RANGES


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
