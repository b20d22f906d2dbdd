"""The results of a soak, and its verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import orjson
from rich.console import Console
from rich.table import Table

from streaming_server.bench.soak_ledger import Period, ResourceReading

WARM_UP = 0.3
"""Share of the periods, from the start, whose maximum is the baseline for the last one: caches fill at
first."""
GROWTH, SPARE_MIB, SPARE_FILES, SPARE_THREADS, SPARE_TASKS = 1.1, 8.0, 8, 8, 16
"""Growth allowed from the first periods to the last: a factor, and a number on top for malloc and threads."""
SLOWER, SPARE_MS = 1.5, 10.0
"""Delay allowed to the last p99, as a factor and milliseconds on top: a period has few turns."""


@dataclass(frozen=True, slots=True)
class SoakReport:
    """The periods, the number of workers killed, and what is wrong, in sentences."""

    periods: Sequence[Period]
    killed: int
    faults: Sequence[str]

    def json(self) -> str:
        rows = [
            {
                "first_audio_ms": asdict(found) if (found := period.first_audio_ms) else None,
                "turns": dict(period.turns),
                "errors": dict(period.errors),
                "excused": dict(period.excused),
                **{name: period.median(of) for name, of in KEPT.items()},
            }
            for period in self.periods
        ]
        report = {"periods": rows, "killed": self.killed, "faults": self.faults}
        return orjson.dumps(report, option=orjson.OPT_INDENT_2).decode()

    def show(self, console: Console) -> None:
        table = Table("", "first audio p50 / p95 / p99, ms", "turns", "cut short", "errors", *KEPT)
        for number, period in enumerate(self.periods):
            found = period.first_audio_ms
            table.add_row(
                str(number + 1),
                f"{found.p50:.1f} / {found.p95:.1f} / {found.p99:.1f}" if found else "–",
                str(period.turns.total()),
                str(period.turns["cancelled"] + period.turns["disconnected"]),
                ", ".join(f"{count} {code}" for code, count in (period.errors + period.excused).items()),
                *(f"{period.median(of):.0f}" for of in KEPT.values()),
            )
        console.print(table)
        console.print(f"{self.killed} workers were killed.")
        for fault in self.faults:
            console.print(fault, style="red", markup=False)
        console.print("Not clean." if self.faults else "Clean.")


KEPT: dict[str, Callable[[ResourceReading], float]] = {
    "MiB": lambda reading: reading.mib,
    "files": lambda reading: reading.files,
    "threads": lambda reading: reading.threads,
    "tasks": lambda reading: reading.tasks,
}
"""Resources that must not grow, by name."""

SPARE = {"MiB": SPARE_MIB, "files": SPARE_FILES, "threads": SPARE_THREADS, "tasks": SPARE_TASKS}


def faults(periods: Sequence[Period]) -> list[str]:
    """Return the faults of a run as sentences."""
    found = []
    if errors := sum((period.errors for period in periods), Counter[str]()):
        found.append("Unexplained errors: " + ", ".join(f"{n} {code}" for code, n in errors.items()) + ".")
    first, last = periods[0], periods[-1]
    early_on = periods[: max(1, round(len(periods) * WARM_UP))]
    for name, of in KEPT.items():
        before, after = max(period.median(of) for period in early_on), last.median(of)
        if not after <= GROWTH * before + SPARE[name]:
            found.append(f"{name} grew from {before:.0f} to {after:.0f}.")
    early, late = first.first_audio_ms, last.first_audio_ms
    if early is None or late is None:
        found.append("Nothing was heard in the first period or the last.")
    elif late.p99 > SLOWER * early.p99 + SPARE_MS:
        found.append(f"First audio p99 went from {early.p99:.1f} to {late.p99:.1f} ms.")
    return found
