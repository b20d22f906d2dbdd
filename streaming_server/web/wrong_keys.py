"""Wrong keys, answered more and more slowly."""

from __future__ import annotations

import time
from collections import OrderedDict

REMEMBERED_ADDRESSES = 1024
FREE_FAILURES = 3
"""Wrong keys of an address that are answered at once."""
LONGEST_DELAY_S = 5.0
FORGIVEN_AFTER_S = 60.0


class WrongKeys:
    """Counts the wrong keys of each address, at whichever door they come.

    A client that tries keys is slowed down; a valid key is never delayed.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def record_failure(self, address: str) -> float:
        """Record a wrong key of an address. Return how many seconds to wait before answering it."""
        now = time.monotonic()
        count, at = self._failures.pop(address, (0, now))
        count = 1 if now - at > FORGIVEN_AFTER_S else count + 1
        self._failures[address] = (count, now)
        if len(self._failures) > REMEMBERED_ADDRESSES:
            self._failures.popitem(last=False)
        late = count - FREE_FAILURES
        return min(LONGEST_DELAY_S, 0.1 * 2.0 ** min(late, 10)) if late > 0 else 0.0
