"""How a command that runs for a while is ended from outside."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def obeyed() -> list[int]:
    """A Ctrl-C, a hang-up and a request to end; not what is ignored, by nohup or as a shell does for what it
    runs in the background."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGHUP", "SIGTERM") if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def end_tidily() -> None:
    """From now on each raises KeyboardInterrupt, once: what is ended then too is disturbed by no other."""
    numbers = obeyed()

    def once(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, once)


@contextmanager
def calling(act: Callable[[], object], ended: Callable[[], bool]) -> Iterator[None]:
    """Each calls `act` within this. Where that has `ended` it, they are ignored afterwards."""
    before = {number: signal.signal(number, lambda number, frame: act()) for number in obeyed()}
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, signal.SIG_IGN if ended() else was)
