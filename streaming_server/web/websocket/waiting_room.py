"""Sockets that were accepted before their key is known: browsers, which can only send it as a message."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

PLACES = 64
"""Sockets that may wait for their key at once, besides those that have a place to speak."""


class WaitingRoom:
    """Bound the sockets that wait for a key.

    When all places are taken, the oldest waiter of the address with most waiters gives way, so that a client
    that fills the room competes with itself.
    """

    def __init__(self, places: int = PLACES) -> None:
        self._places = places
        self._waiting: OrderedDict[anyio.CancelScope, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def place(self, address: str, timeout_s: float) -> Iterator[anyio.CancelScope]:
        """Hold a place for at most `timeout_s`; the scope is cancelled then, or to give way to another."""
        if len(self._waiting) >= self._places:
            self._give_way()
        with anyio.move_on_after(timeout_s) as scope:
            self._waiting[scope] = address
            try:
                yield scope
            finally:
                self._waiting.pop(scope, None)

    def _give_way(self) -> None:
        [(crowded, _)] = Counter(self._waiting.values()).most_common(1)
        oldest = next(scope for scope, address in self._waiting.items() if address == crowded)
        del self._waiting[oldest]
        oldest.cancel()
