"""Placement: which worker takes the next context. Runs on the event loop, so it needs no lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streaming_server.pool.memory import Level

QUEUE_SHARE = 0.5
"""A worker is full when this share of its slots waits in addition to the utterances in the slots."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as placement sees it.

    load: utterances it is speaking or has queued. slots: utterances it can speak in real time at once.
    contexts: contexts that live on it; most may be waiting for text, so they take no slot. silent: it does
    not answer pings and may be hanging.
    """

    ready: bool
    level: Level
    load: int
    slots: int
    contexts: int = 0
    silent: bool = False

    @property
    def has_room(self) -> bool:
        return self.ready and self.level != "critical" and self.load < self.slots * (1 + QUEUE_SHARE)


def choose(candidates: Sequence[Candidate], after: int) -> int | None:
    """Return the index of the least loaded candidate with memory to spare, or None if all are full.

    A candidate under high memory pressure is chosen only if no other has room, a silent one last of all.
    Equal loads are decided by the number of contexts, then by turn, starting after index `after`.
    """
    count = len(candidates)
    in_turn = [(after + 1 + step) % count for step in range(count)]
    able = [index for index in in_turn if candidates[index].has_room]
    return min(able, key=lambda index: _cost(candidates[index]), default=None)


def _cost(candidate: Candidate) -> tuple[bool, bool, float, float]:
    """Return the sort key of a candidate: its drawbacks, the worst first."""
    return (
        candidate.silent,
        candidate.level != "normal",
        candidate.load / candidate.slots,
        candidate.contexts / candidate.slots,
    )
