"""Drives sessions against one server for one row of the table."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from streaming_server.bench.row import Cost, Row, Window, count_open_stalls, make_row
from streaming_server.bench.session import LoadSession, Workload
from streaming_server.bench.subject import Subject

GRACE_S = 2.0
"""Seconds to wait after the window for the first audio of turns whose text arrived at its end."""
STEP_S = 0.02
FEWEST_TURNS = 5
LONGEST = 3
"""A window with fewer turns is extended, up to this many times its length."""
REPORT_EVERY_S = 1.0
MEMORY_EVERY = 3
"""Progress reports between two memory measurements."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """ramp_s: time in which sessions start at random, not measured. seconds: length of the window."""

    workload: Workload
    ramp_s: float
    seconds: float
    seed: int


class LoadRun:
    """Runs the sessions for one row."""

    def __init__(self, subject: Subject, plan: LoadPlan, sessions: int, progress: Progress) -> None:
        self._subject = subject
        self._plan = plan
        self._progress = progress
        self._rng = random.Random(plan.seed)
        self._sessions = [
            LoadSession(plan.workload, random.Random(self._rng.random())) for _ in range(sessions)
        ]
        self._memory_mib: float | None = None

    async def run(self) -> Row:
        """Start the sessions, measure, disconnect them and return the row."""
        gc.collect()
        gc.disable()
        watch = asyncio.create_task(self._watch())
        try:
            await self._connect_sessions()
            cost, window = await self._measure()
            count_open_stalls(self._sessions, window)
            for session in self._sessions:
                session.stop_after_turn()
            await self._wait_for_first_audio()
            return make_row(self._subject.name, self._sessions, window, cost, time.perf_counter())
        finally:
            watch.cancel()
            for session in self._sessions:
                session.end()
            gc.enable()

    async def _connect_sessions(self) -> None:
        """Connect the sessions at uniformly random times, as in a Poisson process of known count."""
        began = time.perf_counter()
        moments = sorted(self._rng.random() * self._plan.ramp_s for _ in self._sessions)
        async with asyncio.TaskGroup() as arrivals:
            for session, moment in zip(self._sessions, moments, strict=True):
                await asyncio.sleep(max(0.0, began + moment - time.perf_counter()))
                arrivals.create_task(session.connect(self._subject.address))
            await asyncio.sleep(max(0.0, began + self._plan.ramp_s - time.perf_counter()))

    async def _measure(self) -> tuple[Cost, Window]:
        since, audio_s, own_s = time.perf_counter(), self._audio_s(), time.process_time()
        cpu_s = await self._cpu_s()
        await asyncio.sleep(max(0.0, since + self._plan.seconds - time.perf_counter()))
        await self._extend_window(since)
        until, own_s = time.perf_counter(), time.process_time() - own_s
        audio_s, after_s = self._audio_s() - audio_s, await self._cpu_s()
        used_s = None if cpu_s is None or after_s is None else after_s - cpu_s
        return Cost(audio_s, own_s, used_s, self._memory_mib), Window(since, until)

    async def _extend_window(self, since: float) -> None:
        """Extend the window until there are enough turns for percentiles of first audio, within limits."""
        deadline = since + LONGEST * self._plan.seconds
        while time.perf_counter() + STEP_S < deadline:
            turns = (turn for session in self._sessions for turn in session.turns)
            if sum(turn.complete_at > since and turn.playout.started for turn in turns) >= FEWEST_TURNS:
                return
            await asyncio.sleep(STEP_S)

    async def _wait_for_first_audio(self) -> None:
        for _ in range(int(GRACE_S / STEP_S)):
            if not any(map(self._is_waiting, self._sessions)):
                return
            await asyncio.sleep(STEP_S)

    def _is_waiting(self, session: LoadSession) -> bool:
        turn = session.turns[-1] if session.speaking else None
        return turn is not None and not math.isnan(turn.complete_at) and not turn.playout.started

    def _audio_s(self) -> float:
        return sum(session.audio_s for session in self._sessions)

    async def _cpu_s(self) -> float | None:
        gauge = self._subject.gauge
        return None if gauge is None else await asyncio.to_thread(gauge.cpu_s)

    async def _watch(self) -> None:
        """Report progress, and measure memory from time to time."""
        began, gauge = time.perf_counter(), self._subject.gauge
        total_s = self._plan.ramp_s + self._plan.seconds
        for tick in count():
            passed_s = time.perf_counter() - began
            speaking = sum(session.speaking for session in self._sessions)
            stopped = sum(session.stopped_by is not None for session in self._sessions)
            self._progress(
                f"{self._subject.name}, {len(self._sessions)} sessions: {passed_s:.0f} of {total_s:.0f} s, "
                f"{speaking} waiting for audio, {stopped} failed"
            )
            if gauge is not None and tick % MEMORY_EVERY == 0:
                self._memory_mib = max(self._memory_mib or 0.0, await asyncio.to_thread(gauge.memory_mib))
            await asyncio.sleep(REPORT_EVERY_S)
