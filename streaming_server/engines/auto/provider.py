"""The default engine as the server knows it."""

from __future__ import annotations

from importlib.util import find_spec

from streaming_server.engines.base import Engine
from streaming_server.engines.hibari.further_voices import HibariSettings, further_voices
from streaming_server.engines.provider import EngineProvider


def has_hibari() -> bool:
    """Return whether the hibari-tts package is installed."""
    return find_spec("hibari") is not None


def create(settings: HibariSettings) -> Engine:
    """Return the engine; eSpeak NG alone if hibari-tts is not installed. Raises EngineFailure."""
    from streaming_server.engines.espeak.engine import EspeakEngine
    from streaming_server.engines.flow_control import FlowControlled
    from streaming_server.engines.sentence_joiner import SentenceJoiner

    if not has_hibari():
        return FlowControlled(SentenceJoiner(EspeakEngine()))
    from streaming_server.engines.auto.engine import AutoEngine
    from streaming_server.engines.hibari.engine import HibariEngine
    from streaming_server.engines.hibari.models import VoiceModels

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
    warning="" if has_hibari() else "eSpeak NG speaks English too; for a natural voice install hibari-tts",
)
