"""An engine that says whatever its seed makes it say: events that are well formed and make no sense."""

from __future__ import annotations

import random
from dataclasses import dataclass

from streaming_server.engines.base import Engine
from streaming_server.engines.memory import machine_memory
from streaming_server.engines.provider import EngineProvider, option
from streaming_server.types import (
    Audio,
    ChunkPolicy,
    EngineInfo,
    Event,
    Failed,
    Finished,
    MemoryReport,
    Utterance,
    WordMark,
    Words,
)

PLAIN = ("Ready.", "Still here.")
"""Texts that it speaks sensibly: those of the pool's checks and of the doors' probes."""


@dataclass(frozen=True)
class OddSettings:
    seed: int = option(0, "seed of what it says")


class OddEngine(Engine):
    info = EngineInfo("odd", 16000, 400, False, ("en",), ChunkPolicy(0, 200, 400, 0.0), frozenset({"speed"}))
    active = property(lambda self: len(self.waiting))

    def __init__(self, settings: OddSettings) -> None:
        self.dice = random.Random(settings.seed)
        self.waiting: dict[int, Utterance] = {}

    def submit(self, utterance: Utterance) -> None:
        self.waiting[utterance.id] = utterance

    def cancel(self, utterance_id: int) -> None:
        self.waiting.pop(utterance_id, None)

    def step(self) -> list[Event]:
        dice = self.dice
        chosen = dice.choice(list(self.waiting))
        if self.waiting[chosen].text.strip() in PLAIN:
            del self.waiting[chosen]
            return [Audio(chosen, b"\1\0" * 100), Finished(chosen, 0.0)]
        events = [self.event(chosen) for _ in range(dice.randint(1, 4))]
        if any(isinstance(event, Finished | Failed) and event.utterance == chosen for event in events):
            del self.waiting[chosen]
        return events

    def event(self, chosen: int) -> Event:
        dice = self.dice
        utterance = chosen if dice.random() < 0.95 else dice.choice((0, chosen + 1, chosen - 1, 2**63 - 1))
        match dice.randrange(8):
            case 0 | 1 | 2:
                return Audio(utterance, dice.randbytes(dice.choice((2, 640, 6400, 334, 64000))))
            case 3 | 4:
                return Words(utterance, tuple(self.mark() for _ in range(dice.randint(0, 4))))
            case 5:
                code = dice.choice(("bad_value", "full"))
                message = dice.choice(("Nothing.", "", "x" * 10_000, "\0\r\n", "日本"))
                return Failed(utterance, code, message, dice.random() < 0.5)
            case _:
                return Finished(utterance, dice.choice((0.0, 1e-9, 1e9)))

    def mark(self) -> WordMark:
        dice = self.dice
        places = [dice.choice((0, 1, 5, 9, 400, 2**31, 2**63 - 1)) for _ in range(4)]
        return WordMark(*places, estimated=dice.random() < 0.5)

    def memory(self) -> MemoryReport:
        dice = self.dice
        if dice.random() < 0.5:
            return machine_memory()
        return MemoryReport(dice.choice((0, 10)), dice.choice((0, 10, 2**62)))


ODD = EngineProvider("odd", "whatever comes to its mind", create=OddEngine, settings=OddSettings)
