"""Delays between attempts to connect again."""

from __future__ import annotations

import random
from itertools import pairwise

from streaming_server.backoff import ATTEMPTS, FIRST_S, LONGEST_S, jittered_delays


def test_delays_grow_to_a_limit_and_end() -> None:
    runs = [list(jittered_delays(random.Random(seed))) for seed in range(200)]
    assert {len(delays) for delays in runs} == {ATTEMPTS}
    longest = [max(delays) for delays in zip(*runs, strict=True)]
    assert longest[0] <= FIRST_S < longest[1] <= 2 * FIRST_S < longest[2]
    assert 0.9 * LONGEST_S < longest[-1] <= LONGEST_S


def test_clients_reconnect_at_different_times() -> None:
    first = sorted(next(jittered_delays(random.Random(seed))) for seed in range(1000))
    gaps = [after - before for before, after in pairwise(first)]
    assert max(gaps) < 0.02 * FIRST_S
