"""eSpeak NG as the server knows it."""

from __future__ import annotations

from streaming_server.engines.base import Engine
from streaming_server.engines.provider import EngineProvider, NoSettings


def create(settings: NoSettings) -> Engine:
    """Return the engine. Raises EngineFailure if the library cannot be loaded."""
    from streaming_server.engines.espeak.engine import EspeakEngine
    from streaming_server.engines.flow_control import FlowControlled
    from streaming_server.engines.sentence_joiner import SentenceJoiner

    return FlowControlled(SentenceJoiner(EspeakEngine()))


ESPEAK = EngineProvider(
    name="espeak",
    description="eSpeak NG, in more than a hundred languages, on the CPU",
    create=create,
    cpu_workers=2,  # The other one takes over when one dies.
    start_timeout_s=30.0,
    author="eSpeak NG",
    url="https://github.com/espeak-ng/espeak-ng",
)
