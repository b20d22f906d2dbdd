"""Signals that end a command."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def ending_signals() -> list[int]:
    """Return SIGINT, SIGHUP and SIGTERM, without those that are ignored.

    nohup ignores SIGHUP, and a shell ignores SIGINT for what it runs in the background.
    """
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGHUP", "SIGTERM") if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def raise_once() -> None:
    """Raise KeyboardInterrupt on the first termination signal from now on and ignore later ones.

    Cleaning up after the first is then not interrupted by a second.
    """
    numbers = ending_signals()

    def handle(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, handle)


@contextmanager
def calling(act: Callable[[], object], ended: Callable[[], bool]) -> Iterator[None]:
    """Call `act` on ending signals; restore the handlers on exit, or ignore the signals if it has `ended`."""
    before = {number: signal.signal(number, lambda number, frame: act()) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if ended() else handler)
