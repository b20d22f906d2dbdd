"""Assign the pages of the cache to slots, and decide which streams may begin or grow.

No stream is ever evicted. A stream reserves the pages of its prompt, its text and the length that its text is
expected to take, and never waits for them. One that grows further takes what nobody has reserved. As many
pages as the longest stream has are kept back: if nothing else is left, one stream at a time may grow into
them until it ends, and the others of that kind wait for it. So every stream ends, however wrong the
expectations were.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Holding:
    """A slot's pages and reservation.

    reserved: pages it may have without asking. pages: those it has.
    """

    reserved: int
    pages: list[int] = field(default_factory=list)

    @property
    def promised(self) -> int:
        """Reserved pages that it has not taken yet."""
        return max(0, self.reserved - len(self.pages))


class PageBook:
    """Assigns cache pages to slots.

    total: pages there are, numbered from 1. longest: pages of the longest stream, at most `total`.
    """

    def __init__(self, total: int, longest: int) -> None:
        if longest > total:
            raise ValueError(f"{total} pages are too few for one stream, which may take {longest}")
        self._total = total
        self._longest = longest
        self._free = list(range(total, 0, -1))
        self._holdings: dict[int, _Holding] = {}
        self._promised = 0
        self._overdrawn: int | None = None
        self._kept_back = longest

    @property
    def free(self) -> int:
        """Pages that no slot has."""
        return len(self._free)

    def reserve(self, slot: int, count: int) -> bool:
        """Reserve `count` pages for a new stream; return whether there are enough."""
        spare = len(self._free) - self._promised - count
        if self._holdings and spare < self._kept_back:
            return False
        self._holdings[slot] = _Holding(count)
        self._promised += count
        return True

    def take(self, slot: int, count: int) -> list[int] | None:
        """Give a slot `count` more pages; return their numbers, or None if it has to wait for others."""
        holding = self._holdings[slot]
        beyond = max(0, len(holding.pages) + count - max(holding.reserved, len(holding.pages)))
        if beyond and not self._may_overdraw(slot, beyond):
            return None
        self._promised -= holding.promised
        taken = [self._free.pop() for _ in range(count)]
        holding.pages += taken
        self._promised += holding.promised
        return taken

    def release(self, slot: int) -> None:
        """Take back a slot's pages and its reservation. Idempotent."""
        holding = self._holdings.pop(slot, None)
        if holding is None:
            return
        self._promised -= holding.promised
        self._free += reversed(holding.pages)
        if self._overdrawn == slot:
            self._overdrawn, self._kept_back = None, self._longest

    def _may_overdraw(self, slot: int, beyond: int) -> bool:
        """Return whether a stream may take pages that it has not reserved."""
        spare = len(self._free) - self._promised - beyond
        if spare >= self._kept_back:
            return True
        if self._overdrawn not in (None, slot):
            return False
        self._overdrawn, self._kept_back = slot, spare
        return True
