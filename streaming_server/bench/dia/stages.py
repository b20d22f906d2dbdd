"""Run stages one after another: time each, catch its errors, and write its result at once."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing to measure.

    into: its place in the report. decisive: whether its failure, or a result with `ok` false, ends the run.
    """

    what: str
    measure: Callable[[], Any]
    into: tuple[str, ...]
    decisive: bool = False


@dataclass(slots=True)
class StageRunner:
    """limit_s: begin nothing after so long. say: takes a line for each stage. write: takes the report so far.
    total: number of stages there are.
    """

    found: dict[str, Any]
    limit_s: float | None
    say: Callable[[str], None]
    write: Callable[[dict[str, Any]], None]
    total: int = 0
    _begun: int = 0
    _started: float = field(default_factory=time.perf_counter)
    _ended: str | None = None

    def run(self, stage: Stage) -> None:
        if self._ended is None and self.limit_s is not None and self._elapsed() > self.limit_s:
            self._ended = "the time was up"
        if self._ended is not None:
            self.found["not_measured"].append(f"{stage.what}: {self._ended}")
            return
        self._begun += 1
        self.say(f"[{self._begun}/{self.total}] {stage.what}")
        started, error = self._elapsed(), None
        try:
            result = stage.measure()
        except Exception as caught:  # A stage that fails must not cost the results of the others.
            error = f"{type(caught).__name__}: {caught}"
            self.found["tracebacks"][stage.what] = traceback.format_exc()
        else:
            _put(self.found, stage.into, result)
        wrong = error is not None or (isinstance(result, dict) and not result.get("ok", True))
        if stage.decisive and wrong:
            self._ended = f"{stage.what} went wrong"
        self.found["stages"].append(
            {"what": stage.what, "seconds": self._elapsed() - started, "error": error}
        )
        self.found["seconds"] = self._elapsed()
        self.write(self.found)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started


def _put(found: dict[str, Any], into: tuple[str, ...], value: Any) -> None:
    for key in into[:-1]:
        found = found.setdefault(key, {})
    found[into[-1]] = value
