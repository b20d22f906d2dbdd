"""What is measured now, of how much."""

from __future__ import annotations

from collections.abc import Callable


class Progress:
    """Numbers what is begun. say: takes a line for the person who waits."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total = total
        self._begun = 0
        self._say = say

    def begin(self, what: str) -> None:
        self._begun += 1
        self._say(f"[{self._begun}/{self._total}] {what}")

    def note(self, what: str) -> None:
        """How far it is, or what came of it."""
        self._say(f"{'':>6}{what}")
