"""Drives sessions against one server for one row of the table."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from streaming_server.bench.client import Address
from streaming_server.bench.gauge import Gauge
from streaming_server.bench.row import Cost, Row, Window, settle, sum_up
from streaming_server.bench.session import Manner, Session

GRACE_S = 2.0
"""The longest wait, after the window, for the first audio of turns whose text came at its end."""
STEP_S = 0.02
FEWEST_TURNS = 5
LONGEST = 3
"""A row with fewer turns than that lasts longer than it was told to, at most so many times."""
REPORT_EVERY_S = 1.0
MEMORY_EVERY = 3
"""Reports between two looks at the memory."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A server under measurement. gauge: None where its processes cannot be seen."""

    name: str
    address: Address
    gauge: Gauge | None
    wyoming_port: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """ramp_s: sessions arrive at random in this time, which is not measured; seconds: what is."""

    manner: Manner
    ramp_s: float
    seconds: float
    seed: int


class Drive:
    """One row in the making."""

    def __init__(self, subject: Subject, plan: Plan, sessions: int, progress: Progress) -> None:
        self._subject = subject
        self._plan = plan
        self._progress = progress
        self._rng = random.Random(plan.seed)
        self._sessions = [Session(plan.manner, random.Random(self._rng.random())) for _ in range(sessions)]
        self._memory_mib: float | None = None

    async def run(self) -> Row:
        """The sessions come, talk and go; what they heard."""
        gc.collect()
        gc.disable()
        watch = asyncio.create_task(self._watch())
        try:
            await self._arrive()
            cost, window = await self._measure()
            settle(self._sessions, window)
            for session in self._sessions:
                session.wind_down()
            await self._wait_for_the_last()
            return sum_up(self._subject.name, self._sessions, window, cost, time.perf_counter())
        finally:
            watch.cancel()
            for session in self._sessions:
                session.end()
            gc.enable()

    async def _arrive(self) -> None:
        """Bring the sessions in as a Poisson process would: so many, each at a moment of its own."""
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
        await self._see_some_turns(since)
        until, own_s = time.perf_counter(), time.process_time() - own_s
        audio_s, after_s = self._audio_s() - audio_s, await self._cpu_s()
        used_s = None if cpu_s is None or after_s is None else after_s - cpu_s
        return Cost(audio_s, own_s, used_s, self._memory_mib), Window(since, until)

    async def _see_some_turns(self, since: float) -> None:
        """Go on for a while where so few sessions talk that their first audio would be an anecdote."""
        deadline = since + LONGEST * self._plan.seconds
        while time.perf_counter() + STEP_S < deadline:
            turns = (turn for session in self._sessions for turn in session.turns)
            if sum(turn.complete_at > since and turn.playout.started for turn in turns) >= FEWEST_TURNS:
                return
            await asyncio.sleep(STEP_S)

    async def _wait_for_the_last(self) -> None:
        for _ in range(int(GRACE_S / STEP_S)):
            if not any(map(self._waits, self._sessions)):
                return
            await asyncio.sleep(STEP_S)

    def _waits(self, session: Session) -> bool:
        turn = session.turns[-1] if session.speaking else None
        return turn is not None and not math.isnan(turn.complete_at) and not turn.playout.started

    def _audio_s(self) -> float:
        return sum(session.audio_s for session in self._sessions)

    async def _cpu_s(self) -> float | None:
        gauge = self._subject.gauge
        return None if gauge is None else await asyncio.to_thread(gauge.cpu_s)

    async def _watch(self) -> None:
        """Tell how it goes, and look at the memory now and then."""
        began, gauge = time.perf_counter(), self._subject.gauge
        total_s = self._plan.ramp_s + self._plan.seconds
        for tick in range(10_000):
            passed_s = time.perf_counter() - began
            speaking = sum(session.speaking for session in self._sessions)
            trouble = sum(session.trouble is not None for session in self._sessions)
            self._progress(
                f"{self._subject.name}, {len(self._sessions)} sessions: {passed_s:.0f} of {total_s:.0f} s, "
                f"{speaking} waiting for audio, {trouble} in trouble"
            )
            if gauge is not None and tick % MEMORY_EVERY == 0:
                self._memory_mib = max(self._memory_mib or 0.0, await asyncio.to_thread(gauge.memory_mib))
            await asyncio.sleep(REPORT_EVERY_S)
