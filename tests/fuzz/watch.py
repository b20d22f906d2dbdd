"""Checks of a server that is fuzzed: it logs no error, loses no worker and keeps nothing of its clients."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
from helpers.servers import Server, until

from fuzz.target import FAULTS, Finding

SETTLE_S = 20.0
"""Seconds in which everything of the clients that left must be gone."""

GROWTH = 64 << 20
"""Bytes by which the server may grow while fuzzed: for caches, and because malloc keeps what fragments it."""

SPARE_THREADS, SPARE_FILES, SPARE_TASKS = 40, 12, 4
"""Growth allowed for good: the thread pool's 40 threads, files of databases, tasks of the server's own."""


@dataclass(frozen=True, slots=True)
class State:
    """Resources that the server holds. workers: process ids."""

    workers: tuple[int, ...]
    connections: float
    watchers: float
    contexts: float
    buffered: float
    tasks: float
    threads: int
    files: int
    resident: int

    def at_rest(self, before: State) -> bool:
        """Return whether nothing is left of the clients that came since."""
        left = (self.connections, self.watchers, self.contexts, self.buffered)
        return (
            not any(left)
            and self.tasks <= before.tasks + SPARE_TASKS
            and self.files <= before.files + SPARE_FILES
        )


def state_of(server: Server) -> State:
    metrics = _metrics(server)
    process = psutil.Process(server.process.pid)
    return State(
        tuple(worker["pid"] for worker in server.workers()),
        metrics["dia_connections"],
        metrics["dia_watchers"],
        metrics["dia_contexts"],
        metrics["dia_buffered_bytes"],
        metrics["dia_tasks"],
        process.num_threads(),
        process.num_fds(),
        process.memory_info().rss,
    )


def check_settled(server: Server, before: State) -> None:
    """Wait until the server is at rest again. Raise Finding if something is left, or a worker has died."""
    try:
        until(lambda: state_of(server).at_rest(before), SETTLE_S)
    except AssertionError:
        raise Finding(f"leak: {state_of(server)} after {before}") from None
    state = state_of(server)
    if state.workers != before.workers:
        raise Finding(f"a worker died: {state.workers} after {before.workers}")
    if state.threads > before.threads + SPARE_THREADS:
        raise Finding(f"threads: {state.threads} after {before.threads}")
    if state.resident > before.resident + GROWTH:
        raise Finding(f"memory: {state.resident >> 20} MiB after {before.resident >> 20} MiB")


def check_log(logged: str, aborted: Sequence[str] = ()) -> None:
    """Raise Finding for a line that is no JSON, an error, a traceback, a warning of Python's, or a fault.

    aborted: what answers were, for each of which the log must give a reason.
    """
    reasons = 0
    for line in filter(None, logged.split("\n")):
        try:
            record: Any = json.loads(line)
        except ValueError:
            raise Finding(f"somebody else wrote to the log: {line[:2000]}") from None
        bad = record.get("level") in ("error", "critical") or "exception" in record
        if bad or record.get("logger") == "py.warnings" or record.get("code") in FAULTS:
            raise Finding(f"in the log: {record.pop('event')} {record.pop('exception', '')[-3000:]} {record}")
        reasons += record["event"] == "response aborted"
    if len(aborted) > reasons:
        raise Finding(f"{len(aborted)} answers ended early, and the log gives {reasons} reasons: {aborted}")


def _metrics(server: Server) -> dict[str, float]:
    text = server.get("/metrics")[1]
    return {
        name: float(value) for name, value in re.findall(r"^(\w+)(?:{node=.*})? (\S+)$", text, re.MULTILINE)
    }
