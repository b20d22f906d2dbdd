"""`run.py bench --soak`: sessions for minutes while workers are killed; nothing may grow or slow down."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import TypeVar

import orjson

from streaming_server.bench.session import Workload
from streaming_server.bench.soak_ledger import ResourceReading, SoakLedger
from streaming_server.bench.soak_report import SoakReport, faults
from streaming_server.bench.soak_session import ANSWER_S, SoakSession
from streaming_server.bench.subject import Subject
from streaming_server.cli.local_server import fetch

SECONDS = 600.0
SESSIONS = 50
KILL_EVERY_S = 120.0
KILLS = 4
"""The least number of workers killed in a run, however short it is."""
UNANSWERED = "no status"
"""Code of the error that the server's state cannot be read."""
READ_EVERY_S = 2.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SoakRun:
    """The size of a run. ramp_s: seconds over which the sessions start; not measured."""

    sessions: int
    seconds: float
    ramp_s: float
    seed: int


async def soak(
    subject: Subject, workload: Workload, run: SoakRun, progress: Callable[[str], None]
) -> SoakReport:
    """Run the sessions. The server's processes must be on this machine."""
    rng = random.Random(run.seed)
    ledger = SoakLedger(run.seconds)
    sessions = [SoakSession(workload, random.Random(rng.random()), ledger) for _ in range(run.sessions)]
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


async def _kill_workers(subject: Subject, ledger: SoakLedger, run: SoakRun) -> None:
    """Kill one worker after the other, at random."""
    rng = random.Random(run.seed)
    while True:
        await asyncio.sleep(min(KILL_EVERY_S, run.seconds / (KILLS + 1)))
        if run.seconds - ledger.passed_s < 1:
            return
        if pids := await _answered(ledger, partial(_workers, subject)):
            ledger.kill(rng.choice(pids))


async def _read(subject: Subject, ledger: SoakLedger, run: SoakRun) -> None:
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


def _reading(subject: Subject) -> ResourceReading:
    assert subject.gauge is not None
    found = re.search(rb"^dia_tasks (\S+)$", fetch(subject.address.url("/metrics"), ANSWER_S), re.MULTILINE)
    assert found is not None
    files, threads = subject.gauge.files_and_threads()
    return ResourceReading(subject.gauge.memory_mib(), files, threads, int(float(found[1])))
