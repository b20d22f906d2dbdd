"""Dia as the server knows it. PyTorch is imported in the worker only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streaming_server.engines.base import Engine
from streaming_server.engines.dia.weights.hub import DEFAULT_CODEC, DEFAULT_MODEL
from streaming_server.engines.provider import EngineProvider, option
from streaming_server.errors import EngineFailure


@dataclass(frozen=True, slots=True)
class DiaSettings:
    """The options of Dia."""

    model: str = option(
        DEFAULT_MODEL,
        "weights: a hub id, a directory, or random:tiny or random:full, which speak noise",
    )
    codec: str | None = option(
        None, f"codec, given likewise; by default {DEFAULT_CODEC}, or random beside a random model"
    )
    slots: int | None = option(
        None,
        "utterances spoken at once on each device; by default as memory and real time allow",
        ge=1,
        le=1024,
    )
    disable_torch_compile: bool = option(False, "do not use Triton kernels on GPUs")
    quantize: Literal["int8"] | None = option(None, "hold the weights in 8 bits")
    preset: Literal["default", "example", "clone"] = option(
        "default",
        "sampling of requests that give no values of their own: Dia's defaults (temperature 1.2, top-p 0.95,"
        " guidance 3), its example's (1.8, 0.90, 3) or that for cloned voices (1.8, 0.90, 4)",
    )


def create(settings: DiaSettings) -> Engine:
    """Return the engine. Raises EngineFailure if PyTorch is missing or the model cannot be loaded."""
    try:
        from streaming_server.engines.dia.serving.load import create_engine
        from streaming_server.engines.dia.serving.presets import PRESETS
    except ImportError as error:
        raise EngineFailure(f'Dia needs {error.name}: pip install "streaming-server[dia]".') from error
    return create_engine(
        settings.model,
        settings.codec,
        slots=settings.slots,
        quantize=settings.quantize,
        use_triton=not settings.disable_torch_compile,
        defaults=PRESETS[settings.preset],
        paced=True,
    )


DIA = EngineProvider(
    name="dia",
    description="Dia-1.6B, in English, with voice cloning, on GPUs",
    create=create,
    settings=DiaSettings,
    uses_gpus=True,
    start_timeout_s=1800.0,  # The first start may download gigabytes.
    author="Nari Labs",
    url="https://github.com/nari-labs/dia",
)
