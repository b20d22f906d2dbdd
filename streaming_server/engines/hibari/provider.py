"""Hibari as the server knows it. Its package and ONNX Runtime are imported in the worker only."""

from __future__ import annotations

from streaming_server.engines.base import Engine
from streaming_server.engines.provider import EngineProvider, NoSettings


def create(settings: NoSettings) -> Engine:
    """Return the engine. Raises EngineFailure if the model cannot be loaded."""
    from streaming_server.engines.flow_control import FlowControlled
    from streaming_server.engines.hibari.engine import HibariEngine

    return FlowControlled(HibariEngine())


HIBARI = EngineProvider(
    name="hibari",
    description="hibari, natural English on the CPU",
    create=create,
    cpu_workers=2,
    start_timeout_s=60.0,
    author="Maureese Williams",
    url="https://github.com/MMWilliams/hibari",
)
