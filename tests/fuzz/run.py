"""Fuzz several doors at once for a while."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

from fuzz.dice import Dice
from fuzz.target import Finding, Target

SESSIONS_AT_ONCE = 3
"""Sessions of one door at the same time."""


class Door(Protocol):
    name: str

    async def session(self, dice: Dice, target: Target) -> None:
        """Play one random session. Raise Finding if the server misbehaves."""


def fuzz(doors: Sequence[Door], target: Target, seed: int, seconds: float, start: int = 0) -> dict[str, int]:
    """Play sessions until the time is over; return how many of each door. Raise Finding.

    Session number n of a door is always the same for the same seed, whatever the others do. start: the first.
    """

    async def every() -> dict[str, int]:
        done: Counter[str] = Counter()
        ends_at = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for door in doors:
                numbers = iter(range(start, 1 << 60))
                for _ in range(SESSIONS_AT_ONCE):
                    group.create_task(_play(door, target, seed, numbers, ends_at, done))
        return dict(done)

    try:
        return asyncio.run(every())
    except* Finding as group:
        finding: BaseException = group
        while isinstance(finding, BaseExceptionGroup):
            finding = finding.exceptions[0]
        raise finding from None


async def _play(
    door: Door, target: Target, seed: int, numbers: Iterator[int], ends_at: float, done: Counter[str]
) -> None:
    while time.monotonic() < ends_at:
        number = next(numbers)
        try:
            await door.session(Dice(f"{seed} {door.name} {number}"), target)
        except Finding as finding:
            raise Finding(f"{door.name}, --fuzz-seed={seed}, session {number}: {finding}") from finding
        except (TimeoutError, OSError, EOFError, RuntimeError, ValueError) as error:
            where = f"{door.name}, --fuzz-seed={seed}, session {number}"
            raise Finding(f"{where}: {error!r}") from error
        done[door.name] += 1
