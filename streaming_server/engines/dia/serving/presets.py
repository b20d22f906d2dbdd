"""Sampling parameters by name, as published with Dia."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from streaming_server.engines.dia.serving.slots import SamplingParams

PRESETS: Mapping[str, SamplingParams] = MappingProxyType(
    {
        "default": SamplingParams(temperature=1.2, top_p=0.95, top_k=45, cfg_scale=3.0),
        "example": SamplingParams(temperature=1.8, top_p=0.90, top_k=50, cfg_scale=3.0),
        "clone": SamplingParams(temperature=1.8, top_p=0.90, top_k=50, cfg_scale=4.0),
    }
)
"""`default`: the defaults of `Dia.generate` in the nari-labs package. `example`: its simple example's.
`clone`: its example's for cloned voices, with stronger guidance. Temperatures below 1 are used as they are;
transformers raises them to 1."""
