"""A measure of the machine, for tests of how much computing something takes."""

from __future__ import annotations

import time


def yardstick_s() -> float:
    """Return the CPU time of 20,000 turns of a plain loop, the best of five: about a millisecond."""
    return min(_loop_s() for _ in range(5))


def _loop_s() -> float:
    began = time.thread_time()
    total = 0
    for number in range(20_000):
        total += number * number % 7
    return time.thread_time() - began
