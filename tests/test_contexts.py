"""The engine and the tempo stage share a speed."""

from __future__ import annotations

import pytest

from streaming_server.catalogue import Entry
from streaming_server.contexts import left_speed, part_of
from streaming_server.types import BUILTIN_VOICES, ChunkPolicy, EngineInfo, Generation

SLOW_TO_FAST = EngineInfo(
    "engine", 24000, 1, False, ("en",), ChunkPolicy(0, 1, 400, 0.0), frozenset({"speed"}), speeds=(0.5, 2.0)
)
FIXED = EngineInfo("engine", 24000, 1, False, ("en",), ChunkPolicy(0, 1, 400, 0.0), frozenset())


def heard(engine: EngineInfo, *speeds: float | None, asked: float | None = None) -> list[float]:
    """Return the speed that each voice is heard at, where their own ones are these."""
    entries = [Entry(BUILTIN_VOICES[0], Generation(speed=speed)) for speed in speeds]
    options = Generation(speed=asked)
    left = left_speed(entries, options, engine)
    spoken = [part_of(entry, options, engine, left).generation.speed for entry in entries]
    if "speed" not in engine.uses:
        return [left for _ in speeds]
    assert all(speed is None or 0.5 <= speed <= 2.0 for speed in spoken)
    return [pytest.approx((speed or 1.0) * left) for speed in spoken]


@pytest.mark.parametrize(
    "speeds", [(None,), (1.5,), (3.0,), (0.25,), (1.0, 3.0), (None, 4.0), (0.3, 1.0), (2.0, 0.5)]
)
def test_every_voice_of_a_dialogue_has_its_own_speed(speeds: tuple[float | None, ...]) -> None:
    assert heard(SLOW_TO_FAST, *speeds) == [speed or 1.0 for speed in speeds]


def test_speeds_too_far_apart_keep_the_first_voices() -> None:
    assert heard(SLOW_TO_FAST, 4.0, 0.25)[0] == 4.0
    assert heard(SLOW_TO_FAST, 0.25, 4.0)[0] == 0.25


def test_a_requests_speed_is_that_of_all() -> None:
    assert heard(SLOW_TO_FAST, None, 3.0, asked=2.5) == [2.5, 2.5]


@pytest.mark.parametrize("speed", [0.5, 1.0, 3.0])
def test_an_engine_without_speeds_leaves_all_to_the_tempo_stage(speed: float) -> None:
    assert heard(FIXED, speed) == [speed]


def test_a_voice_within_the_engines_speeds_is_left_as_it_is() -> None:
    assert left_speed([Entry(BUILTIN_VOICES[0])], Generation(), SLOW_TO_FAST) == 1.0
    part = part_of(Entry(BUILTIN_VOICES[0]), Generation(), SLOW_TO_FAST, 1.0)
    assert part.generation.speed is None
