"""Run stages one after another: time each, catch its errors, and write its result at once."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class DeviceLost(Exception):
    """Raised after a stage has left the device unusable; its error is in the report."""


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
    """found: the report so far; stages that it contains are not run again. limit_s: begin nothing after so
    long. say: takes a line for each stage. write: takes the report. total: number of stages there are.
    device_works: asked after a failure.

    While a stage runs, the report tells which, in case this process dies.
    """

    found: dict[str, Any]
    limit_s: float | None
    say: Callable[[str], None]
    write: Callable[[dict[str, Any]], None]
    total: int = 0
    device_works: Callable[[], bool] = lambda: True
    _begun: int = 0
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = time.perf_counter() - self.found.get("seconds", 0.0)

    def run(self, stage: Stage) -> None:
        """Run one stage. Raises DeviceLost."""
        self._begun += 1
        if any(done["what"] == stage.what for done in self.found["stages"]):
            return
        if "ended" not in self.found and self.limit_s is not None and self._elapsed() > self.limit_s:
            self.found["ended"] = "the time was up"
        if "ended" in self.found:
            self.found["not_measured"].append(f"{stage.what}: {self.found['ended']}")
            return
        self.say(f"[{self._begun}/{self.total}] {stage.what}")
        self._measure(stage)

    def _measure(self, stage: Stage) -> None:
        self.found["running"] = {"what": stage.what, "decisive": stage.decisive, "since": time.time()}
        self.write(self.found)
        started, error = self._elapsed(), None
        try:
            result = stage.measure()
        except Exception as caught:  # A stage that fails must not cost the results of the others.
            error = f"{type(caught).__name__}: {caught}"
            self.found["tracebacks"][stage.what] = traceback.format_exc()
        else:
            _put(self.found, stage.into, result)
        wrong = error is not None or (isinstance(result, dict) and not result.get("ok", True))
        record(self.found, stage.what, self._elapsed() - started, error, stage.decisive and wrong)
        self.found["seconds"] = self._elapsed()
        self.write(self.found)
        if error is not None and not self.device_works():
            raise DeviceLost(error)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started


def record(found: dict[str, Any], what: str, seconds: float, error: str | None, ends: bool) -> None:
    """Enter the end of a stage into a report. ends: whether it ends the run."""
    found.pop("running", None)
    found["stages"].append({"what": what, "seconds": seconds, "error": error})
    if ends:
        found["ended"] = f"{what} went wrong"


def _put(found: dict[str, Any], into: tuple[str, ...], value: Any) -> None:
    for key in into[:-1]:
        found = found.setdefault(key, {})
    found[into[-1]] = value
