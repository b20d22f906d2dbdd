"""Which worker takes the next context. Decided on the event loop, so nothing needs a lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streaming_server.pool.memory import Level

QUEUE_SHARE = 0.5
"""A worker is full at its slots plus this share of them waiting."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as placement sees it. `load` counts utterances and contexts at work there."""

    ready: bool
    level: Level
    load: int
    slots: int

    @property
    def open(self) -> bool:
        return self.ready and self.level != "critical" and self.load < self.slots * (1 + QUEUE_SHARE)


def choose(candidates: Sequence[Candidate], after: int) -> int | None:
    """The index of the least loaded candidate with memory to spare, or None when all are full.

    One under high pressure is taken only when no other can. Ties go in turn, beginning behind `after`.
    """
    count = len(candidates)
    in_turn = [(after + 1 + step) % count for step in range(count)]
    able = [index for index in in_turn if candidates[index].open]
    relaxed = [index for index in able if candidates[index].level == "normal"]
    return min(relaxed or able, key=lambda index: _share(candidates[index]), default=None)


def _share(candidate: Candidate) -> float:
    return candidate.load / candidate.slots
