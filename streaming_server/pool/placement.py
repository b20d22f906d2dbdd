"""Which worker takes the next context. Decided on the event loop, so nothing needs a lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streaming_server.pool.memory import Level

QUEUE_SHARE = 0.5
"""A worker is full at its slots plus this share of them waiting."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as placement sees it.

    load: utterances at work there or waiting for it. slots: utterances it keeps in real time together.
    contexts: those that live there, most of them perhaps waiting for text; they take no slot. silent: it has
    left pings unanswered and may be hanging.
    """

    ready: bool
    level: Level
    load: int
    slots: int
    contexts: int = 0
    silent: bool = False

    @property
    def open(self) -> bool:
        return self.ready and self.level != "critical" and self.load < self.slots * (1 + QUEUE_SHARE)


def choose(candidates: Sequence[Candidate], after: int) -> int | None:
    """The index of the least loaded candidate with memory to spare, or None when all are full.

    One under high pressure is taken only when no other can, and one that is silent last of all. Between equal
    loads the fewest contexts decide; what is equal still takes turns, beginning behind `after`.
    """
    count = len(candidates)
    in_turn = [(after + 1 + step) % count for step in range(count)]
    able = [index for index in in_turn if candidates[index].open]
    return min(able, key=lambda index: _cost(candidates[index]), default=None)


def _cost(candidate: Candidate) -> tuple[bool, bool, float, float]:
    """What speaks against a candidate, the gravest first."""
    return (
        candidate.silent,
        candidate.level != "normal",
        candidate.load / candidate.slots,
        candidate.contexts / candidate.slots,
    )
