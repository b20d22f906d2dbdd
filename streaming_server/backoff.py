"""Delays before connecting again to a server that has closed the connection because it restarts."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST_S = 0.5
LONGEST_S = 10.0
ATTEMPTS = 8
"""Attempts before giving up, after 23 seconds on average and 46 at most."""


def jittered_delays(rng: random.Random) -> Iterator[float]:
    """Yield the seconds to wait before each attempt: at random up to a limit that doubles each time.

    A server that stops disconnects all its clients at once; they must not return at once.
    """
    for attempt in range(ATTEMPTS):
        yield rng.uniform(0.0, min(LONGEST_S, FIRST_S * 2.0**attempt))
