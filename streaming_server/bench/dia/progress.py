"""Say what is being measured, and of how many stages."""

from __future__ import annotations

from collections.abc import Callable


class Progress:
    """Number the stages. say: given a line for whoever waits. total: stages there are."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.total = 0
        self._begun = 0
        self._say = say

    def begin(self, what: str) -> None:
        self._begun += 1
        self._say(f"[{self._begun}/{self.total}] {what}")

    def note(self, what: str) -> None:
        """Say how far the stage is, or what it found."""
        self._say(f"{'':>6}{what}")
