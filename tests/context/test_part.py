"""The engine and the tempo stage share a speed."""

from __future__ import annotations

import pytest

from streaming_server.context import Part
from streaming_server.text.prosody import Prosody
from streaming_server.types import BUILTIN_VOICES, ChunkPolicy, EngineInfo, Generation

SLOW_TO_FAST = EngineInfo(
    "engine", 24000, 1, False, ("en",), ChunkPolicy(0, 1, 400, 0.0), frozenset({"speed"}), speeds=(0.5, 2.0)
)
FIXED = EngineInfo("engine", 24000, 1, False, ("en",), ChunkPolicy(0, 1, 400, 0.0), frozenset())


def part(speed: float | None = None, pitch: float | None = None) -> Part:
    return Part(BUILTIN_VOICES[0], Generation(speed=speed, pitch=pitch))


@pytest.mark.parametrize(
    ("speed", "spoken", "tempo"),
    [(None, None, 1.0), (1.5, 1.5, 1.0), (3.0, 2.0, 1.5), (0.25, 0.5, 0.5), (4.0, 2.0, 2.0)],
)
def test_the_engine_speaks_as_near_to_the_speed_as_it_can(
    speed: float | None, spoken: float | None, tempo: float
) -> None:
    generation, left = part(speed).shared(SLOW_TO_FAST)
    assert (generation.speed, left) == (spoken, tempo)


@pytest.mark.parametrize("speed", [0.5, 1.0, 3.0])
def test_an_engine_without_speeds_leaves_all_to_the_tempo_stage(speed: float) -> None:
    assert part(speed).shared(FIXED)[1] == speed


def test_prosody_is_on_top_of_the_voices_own() -> None:
    generation, tempo = part(1.5, 0.8).shared(SLOW_TO_FAST, Prosody(2.0, 1.5))
    assert (generation.speed, tempo, generation.pitch) == (2.0, 1.5, pytest.approx(1.2))
    generation, tempo = part(4.0, 2.0).shared(SLOW_TO_FAST, Prosody(2.0, 1.5))
    assert (generation.speed, tempo, generation.pitch) == (2.0, 2.0, 2.0)


def test_without_prosody_an_option_that_was_not_given_is_left_to_the_engine() -> None:
    generation, tempo = part().shared(SLOW_TO_FAST)
    assert (generation.speed, generation.pitch, tempo) == (None, None, 1.0)
