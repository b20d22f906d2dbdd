"""`run.py bench --soak`: sessions for minutes while workers are killed; nothing may grow or slow down."""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from http.client import HTTPException
from typing import TypeVar

import orjson
from rich.console import Console
from rich.table import Table

from streaming_server.bench.session import Manner
from streaming_server.bench.soak_session import ANSWER_S, Fate, SoakSession
from streaming_server.bench.subject import Subject
from streaming_server.cli.local_server import fetch
from streaming_server.percentiles import Percentiles, percentiles

SECONDS = 600.0
SESSIONS = 50
PERIODS = 10
"""Periods of a run, each of SHORTEST_PERIOD_S to LONGEST_PERIOD_S."""
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 10.0, 60.0
KILL_EVERY_S = 120.0
KILLS = 4
"""The least number of workers killed in a run, however short it is."""
EXCUSED_S = 10.0
"""Seconds after the death of a worker in which its turns may end with EXCUSED."""
EXCUSED = "worker_lost"
UNANSWERED = "no status"
"""Code of the error that the server's state cannot be read."""
READ_EVERY_S = 2.0

T = TypeVar("T")

WARM_UP = 0.3
"""Share of the periods whose fullest is the measure of the last: engines' caches fill at first."""
GROWTH, SPARE_MIB, SPARE_FILES, SPARE_THREADS, SPARE_TASKS = 1.1, 8.0, 8, 8, 16
"""Growth allowed from the first periods to the last: a factor, and a number on top for malloc and threads."""
SLOWER, SPARE_MS = 1.5, 10.0
"""Delay allowed to the last p99, as a factor and milliseconds on top: a period has few turns."""


@dataclass(frozen=True, slots=True)
class Run:
    """The size of a run. ramp_s: seconds over which the sessions start; not measured."""

    sessions: int
    seconds: float
    ramp_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Resources of the server's processes. tasks: on its event loop."""

    mib: float
    files: int
    threads: int
    tasks: int


@dataclass(slots=True)
class Period:
    """Turns and readings of one part of the run. errors, excused: counts by code."""

    first_audio_s: list[float] = field(default_factory=list)
    turns: Counter[Fate] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    readings: list[Reading] = field(default_factory=list)

    @property
    def first_audio_ms(self) -> Percentiles | None:
        return percentiles(1000 * seconds for seconds in self.first_audio_s)

    def median(self, of: Callable[[Reading], float]) -> float:
        """Return the median of the readings, as sessions come and go and workers start."""
        return statistics.median(map(of, self.readings)) if self.readings else math.nan


class SoakLedger:
    """Sorts what happens into periods, from `begin` on; what comes before is the ramp."""

    def __init__(self, seconds: float) -> None:
        self.ramp = Period()
        self.periods: list[Period] = []
        self.killed = 0
        self._seconds = seconds
        self._began_at = math.inf
        self._killed_at = -math.inf

    def begin(self) -> None:
        period_s = min(LONGEST_PERIOD_S, max(SHORTEST_PERIOD_S, self._seconds / PERIODS))
        self.periods = [Period() for _ in range(max(1, round(self._seconds / period_s)))]
        self._began_at = time.monotonic()

    @property
    def period_s(self) -> float:
        return self._seconds / len(self.periods)

    @property
    def passed_s(self) -> float:
        """Seconds since the beginning; negative before it."""
        return time.monotonic() - self._began_at

    @property
    def now(self) -> Period:
        if self.passed_s < 0:
            return self.ramp
        share = self.passed_s / self._seconds
        return self.periods[min(len(self.periods) - 1, int(share * len(self.periods)))]

    def turn(self, fate: Fate, first_audio_s: float) -> None:
        self.now.turns[fate] += 1
        if not math.isnan(first_audio_s):
            self.now.first_audio_s.append(first_audio_s)

    def error(self, code: str) -> None:
        excused = code == EXCUSED and time.monotonic() - self._killed_at < EXCUSED_S
        (self.now.excused if excused else self.now.errors)[code] += 1

    def kill(self, pid: int) -> None:
        """Kill a worker and note it."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed += 1
            self._killed_at = time.monotonic()


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


KEPT: dict[str, Callable[[Reading], float]] = {
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


async def soak(subject: Subject, manner: Manner, run: Run, progress: Callable[[str], None]) -> SoakReport:
    """Run the sessions. The server's processes must be on this machine."""
    rng = random.Random(run.seed)
    ledger = SoakLedger(run.seconds)
    sessions = [SoakSession(manner, random.Random(rng.random()), ledger) for _ in range(run.sessions)]
    async with asyncio.TaskGroup() as group:
        tasks = []
        for session in sessions:
            tasks.append(group.create_task(session.connect(subject.address)))
            await asyncio.sleep(run.ramp_s / run.sessions)
        ledger.begin()
        tasks += [group.create_task(each(subject, ledger, run)) for each in (_read, _kill_workers)]
        while (left_s := run.seconds - ledger.passed_s) > 0:
            now = ledger.now
            progress(f"{left_s:.0f} s left, {now.turns.total()} turns, {now.errors.total()} errors")
            await asyncio.sleep(min(1.0, left_s))
        for task in tasks:
            task.cancel()
        for session in sessions:
            session.end()
    found = faults(ledger.periods)
    if ledger.ramp.errors:
        found.append(f"Errors before the first period: {dict(ledger.ramp.errors)}.")
    return SoakReport(ledger.periods, ledger.killed, found)


async def _kill_workers(subject: Subject, ledger: SoakLedger, run: Run) -> None:
    """Kill one worker after the other, at random."""
    rng = random.Random(run.seed)
    while True:
        await asyncio.sleep(min(KILL_EVERY_S, run.seconds / (KILLS + 1)))
        if run.seconds - ledger.passed_s < 1:
            return
        if pids := await _answered(ledger, partial(_workers, subject)):
            ledger.kill(rng.choice(pids))


async def _read(subject: Subject, ledger: SoakLedger, run: Run) -> None:
    while True:
        if (reading := await _answered(ledger, partial(_reading, subject))) is not None:
            ledger.now.readings.append(reading)
        await asyncio.sleep(min(READ_EVERY_S, ledger.period_s / 4))


async def _answered(ledger: SoakLedger, ask: Callable[[], T]) -> T | None:
    """Ask the server in a thread. Record an error and return None if it does not answer."""
    try:
        return await asyncio.to_thread(ask)
    except (OSError, HTTPException):
        ledger.error(UNANSWERED)
        return None


def _workers(subject: Subject) -> list[int]:
    """Return the process ids of the workers that run."""
    devices = orjson.loads(fetch(subject.address.url("/gpu/status"), ANSWER_S))["devices"]
    return [device["worker"]["pid"] for device in devices if device["worker"]["pid"] is not None]


def _reading(subject: Subject) -> Reading:
    assert subject.gauge is not None
    found = re.search(rb"^dia_tasks (\S+)$", fetch(subject.address.url("/metrics"), ANSWER_S), re.MULTILINE)
    assert found is not None
    files, threads = subject.gauge.files_and_threads()
    return Reading(subject.gauge.memory_mib(), files, threads, int(float(found[1])))
