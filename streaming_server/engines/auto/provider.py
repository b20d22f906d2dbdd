"""The default engine as the server knows it."""

from __future__ import annotations

from streaming_server.engines.base import Engine
from streaming_server.engines.hibari.further_voices import HibariSettings, further_voices
from streaming_server.engines.provider import EngineProvider


def create(settings: HibariSettings) -> Engine:
    """Return the engine. Raises EngineFailure."""
    from streaming_server.engines.auto.engine import AutoEngine
    from streaming_server.engines.espeak.engine import EspeakEngine
    from streaming_server.engines.flow_control import FlowControlled
    from streaming_server.engines.hibari.engine import HibariEngine
    from streaming_server.engines.hibari.models import VoiceModels
    from streaming_server.engines.sentence_joiner import SentenceJoiner

    hibari = HibariEngine(VoiceModels(further_voices(settings)))
    return FlowControlled(SentenceJoiner(AutoEngine(hibari, EspeakEngine())))


AUTO = EngineProvider(
    name="auto",
    description="hibari for English, eSpeak NG for every other language, on the CPU",
    create=create,
    settings=HibariSettings,
    voices=further_voices,
    cpu_workers=2,
    start_timeout_s=60.0,
    author="Maureese Williams (hibari) and eSpeak NG",
    url="https://github.com/MMWilliams/hibari",
)
