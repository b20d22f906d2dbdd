"""Run the stages in a child process, and start it again for those that are left if it dies.

A CUDA error, a crash in a library or a kernel that never ends then costs the stage in which it happens, not
the others.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from streaming_server.bench.dia.stages import record

DEVICE_LOST: Final = 75
"""Exit status of a child whose device can be used no more; the report is up to date."""

REFUSED: Final = 3
"""Exit status of a child that cannot measure anything, and has said why."""

POLL_S: Final = 0.2


class ReportFile:
    """A report as JSON, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "dia.json"

    def write(self, report: dict[str, Any]) -> None:
        new = self._path.with_suffix(".json.new")
        new.write_text(json.dumps(report, indent=2))
        new.replace(self._path)

    def read(self) -> dict[str, Any] | None:
        """Return the report; None if there is none yet."""
        try:
            found: dict[str, Any] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return None
        return found

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def run_in_child(
    command: Sequence[str], report: ReportFile, stage_limit_s: float | None
) -> dict[str, Any] | None:
    """Run a command that runs stages until it succeeds; return the report, or None if it was refused.

    Each time it dies, the stage that was running is recorded as failed. stage_limit_s: end it if a stage
    takes longer. Gives up if the command dies without having begun another stage.
    """
    started, done = time.perf_counter(), -1
    while True:
        status, why = _run(command, report, stage_limit_s)
        found = report.read()
        if status == 0 or status == REFUSED or found is None:
            return found if status == 0 else None
        running = found.get("running")
        if running is not None:
            seconds = time.time() - running["since"]
            record(found, running["what"], seconds, why, running["decisive"])
        found["seconds"] = time.perf_counter() - started
        stuck, done = len(found["stages"]) == done, len(found["stages"])
        if stuck:
            found["ended"] = f"the process died before it began another stage: {why}"
        report.write(found)
        if stuck:
            return found
        print(f"{why}; going on with the next stage", file=sys.stderr, flush=True)


def _run(command: Sequence[str], report: ReportFile, stage_limit_s: float | None) -> tuple[int, str]:
    """Run the command once; return its exit status and what to say of it."""
    child = subprocess.Popen(command)
    try:
        while (status := child.poll()) is None:
            time.sleep(POLL_S)
            running = (report.read() or {}).get("running") if stage_limit_s is not None else None
            if running is not None and time.time() - running["since"] > (stage_limit_s or 0.0):
                child.kill()
                return child.wait(), f"the stage took longer than {stage_limit_s:.0f} s"
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    return status, "the device was lost" if status == DEVICE_LOST else f"the process died, status {status}"
