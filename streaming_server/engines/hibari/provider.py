"""Hibari as the server knows it. Its package and ONNX Runtime are imported in the worker only."""

from __future__ import annotations

from streaming_server.engines.base import Engine
from streaming_server.engines.hibari.further_voices import HibariSettings, further_voices
from streaming_server.engines.provider import EngineProvider


def create(settings: HibariSettings) -> Engine:
    """Return the engine. Raises EngineFailure if the model cannot be loaded."""
    from streaming_server.engines.flow_control import FlowControlled
    from streaming_server.engines.hibari.engine import HibariEngine
    from streaming_server.engines.hibari.models import VoiceModels
    from streaming_server.engines.sentence_joiner import SentenceJoiner

    return FlowControlled(SentenceJoiner(HibariEngine(VoiceModels(further_voices(settings)))))


HIBARI = EngineProvider(
    name="hibari",
    description="hibari, natural English on the CPU",
    create=create,
    settings=HibariSettings,
    voices=further_voices,
    cpu_workers=2,
    start_timeout_s=60.0,
    author="Maureese Williams",
    url="https://github.com/MMWilliams/hibari",
)
