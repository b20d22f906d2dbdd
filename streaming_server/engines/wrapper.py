"""An engine around another engine."""

from __future__ import annotations

from streaming_server.engines.base import Engine
from streaming_server.types import EngineInfo, Event, MemoryReport, Utterance, Voice


class EngineWrapper(Engine):
    """Forwards every call to another engine. Subclasses change some."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def device_name(self) -> str:
        return self._engine.device_name

    @property
    def active(self) -> int:
        return self._engine.active

    def submit(self, utterance: Utterance) -> None:
        self._engine.submit(utterance)

    def cancel(self, utterance_id: int) -> None:
        self._engine.cancel(utterance_id)

    def step(self) -> list[Event]:
        return self._engine.step()

    def prepare(self, voice: Voice) -> None:
        self._engine.prepare(voice)

    def taken(self, utterance_id: int, size: int) -> None:
        self._engine.taken(utterance_id, size)

    def release(self, context: int) -> None:
        self._engine.release(context)

    def memory(self) -> MemoryReport:
        return self._engine.memory()

    def relieve(self) -> None:
        self._engine.relieve()

    def close(self) -> None:
        self._engine.close()
