"""The pool with real worker processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psutil
import pytest
from helpers.unreapable import unreapable
from structlog.testing import capture_logs

from streaming_server.engines.selection import select_engine
from streaming_server.errors import Full
from streaming_server.ipc.child import REAP_S
from streaming_server.ipc.messages import Memory
from streaming_server.pool import pool as pool_module
from streaming_server.pool import restart
from streaming_server.pool.channel import STALLED_TICKS, Channel
from streaming_server.pool.devices import Device
from streaming_server.pool.pool import TICK_S, Pool, PressureChanged, WorkerChanged
from streaming_server.pool.supervisor import SHUTDOWN_S, SILENCE_S, Supervisor, WorkerCommand
from streaming_server.types import (
    DEFAULT_VOICE,
    Audio,
    Event,
    Failed,
    Finished,
    Generation,
    MemoryReport,
    Utterance,
)

pytestmark = pytest.mark.anyio

SENTENCE = "The quick brown fox jumps over the lazy dog near the bank of the river. " * 5


class Line:
    """A channel and the means to wait for its events."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._woken = anyio.Event()
        self.channel: Channel = pool.open(lambda: self._woken.set())

    def submit(self, text: str = SENTENCE) -> None:
        ids = self._pool.next_id(), self.channel.context
        self.channel.submit(Utterance(*ids, text, DEFAULT_VOICE, Generation(), time.monotonic()))

    async def next(self) -> Event:
        with anyio.fail_after(20):
            while (event := self.channel.take()) is None:
                self._woken = anyio.Event()
                await self._woken.wait()
        if isinstance(event, Audio):
            self.channel.mark_heard()
        return event

    async def rest(self) -> list[Event]:
        """Everything up to the end of the utterance."""
        events = [await self.next()]
        while not isinstance(events[-1], Finished | Failed):
            events.append(await self.next())
        return events


def pcm(events: list[Event]) -> bytes:
    return b"".join(event.pcm for event in events if isinstance(event, Audio))


@asynccontextmanager
async def running(workers: int = 2, *arguments: str) -> AsyncIterator[Pool]:
    devices = [Device(f"cpu_{index}", {}) for index in range(workers)]
    pool = Pool(
        devices, WorkerCommand(arguments or select_engine("espeak").worker_arguments, start_timeout_s=20)
    )
    async with pool.running():
        yield pool


async def all_ready(pool: Pool) -> None:
    with anyio.fail_after(20):
        while not all(worker.healthy for worker in pool.workers):
            await anyio.sleep(0.01)


async def settled(condition: object) -> None:
    with anyio.fail_after(20):
        while not condition():  # type: ignore[operator]
            await anyio.sleep(0.005)


def worker_of(line: Line) -> Supervisor:
    assert line.channel.worker is not None
    return line.channel.worker


async def test_speaks_an_utterance() -> None:
    async with running() as pool:
        await all_ready(pool)
        line = Line(pool)
        line.submit("Hello there.")
        events = await line.rest()
        assert isinstance(events[-1], Finished)
        assert len(pcm(events)) > 20_000
        assert not line.channel.busy
        assert [worker.load for worker in pool.workers] == [0, 0]


async def test_contexts_take_turns_and_stay_on_their_worker() -> None:
    async with running() as pool:
        await all_ready(pool)
        lines = [Line(pool) for _ in range(4)]
        for line in lines:
            line.submit()
        homes = [worker_of(line) for line in lines]
        assert [homes.count(worker) for worker in pool.workers] == [2, 2]
        for line in lines:
            await line.rest()
        for line in reversed(lines):
            line.submit()
        assert [worker_of(line) for line in lines] == homes


async def test_the_number_of_contexts_breaks_ties_of_load() -> None:
    async with running() as pool:
        await all_ready(pool)
        lines = [Line(pool) for _ in range(4)]
        for line in lines:
            line.submit("Hello.")
            await line.rest()
        left = worker_of(lines[3])
        assert [len(worker.contexts) for worker in pool.workers] == [2, 2]
        for line in lines:
            if worker_of(line) is left:
                line.channel.close()
        assert len(left.contexts) == 0
        newcomer = Line(pool)
        newcomer.submit("Hello.")
        assert worker_of(newcomer) is left
        assert pool.has_room


async def test_a_restart_does_not_extend_the_wait_for_a_worker() -> None:
    async with running(1) as pool:
        await all_ready(pool)
        (worker,) = pool.workers
        line = Line(pool)
        line.submit("Hello.")
        await line.rest()
        pid = worker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await settled(lambda: worker.state == "restarting")
        line.submit("Hello again.")
        expires_at = line.channel.expires_at
        await settled(lambda: worker.state == "ready")
        assert line.channel.expires_at == expires_at
        assert isinstance((await line.rest())[-1], Finished)


async def test_no_event_follows_cancel() -> None:
    async with running(1) as pool:
        await all_ready(pool)
        line = Line(pool)
        line.submit()
        await line.next()
        line.channel.cancel()
        assert line.channel.take() is None
        assert pool.workers[0].load == 0
        line.submit("Hello.")
        events = await line.rest()
        assert isinstance(events[-1], Finished)
        assert len(pcm(events)) < 60_000


async def test_an_utterance_without_audio_survives_the_death_of_its_worker() -> None:
    async with running() as pool:
        await all_ready(pool)
        reference = Line(pool)
        reference.submit()
        expected = pcm(await reference.rest())
        line = Line(pool)
        # Stopped first, so that nothing is heard before the kill however fast the worker is.
        pids = [worker.pid for worker in pool.workers if worker.pid is not None]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        line.submit()
        victim = worker_of(line)
        for pid in pids:
            os.kill(pid, signal.SIGKILL if pid == victim.pid else signal.SIGCONT)
        events = await line.rest()
        assert isinstance(events[-1], Finished)
        assert pcm(events) == expected
        assert worker_of(line) is not victim


async def test_an_utterance_with_audio_ends_in_worker_lost() -> None:
    async with running() as pool:
        await all_ready(pool)
        line = Line(pool)
        line.submit(SENTENCE * 20)
        while not isinstance(await line.next(), Audio):
            pass
        victim = worker_of(line)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        killed = time.monotonic()
        end = (await line.rest())[-1]
        assert isinstance(end, Failed)
        assert (end.code, end.retryable) == ("worker_lost", True)
        assert time.monotonic() - killed < 3  # Within one second on an idle machine.
        line.submit("Hello again.")
        assert isinstance((await line.rest())[-1], Finished)


async def test_utterances_without_audio_lose_no_sample_when_a_worker_is_killed() -> None:
    async with running() as pool:
        await all_ready(pool)
        lines = [Line(pool) for _ in range(6)]
        reference = Line(pool)
        reference.submit()
        expected = pcm(await reference.rest())
        for line in lines:
            line.submit()
        heard = [await line.next() for line in lines]
        victim = pool.workers[0]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        for first, line in zip(heard, lines, strict=True):
            assert not isinstance(first, Audio)
            events = [first, *await line.rest()]
            assert isinstance(events[-1], Finished)
            assert pcm(events) == expected


async def test_an_utterance_is_given_to_two_workers_at_most() -> None:
    async with running() as pool:
        await all_ready(pool)
        line = Line(pool)
        line.submit(SENTENCE * 40)
        for _ in range(2):
            pid = worker_of(line).pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await settled(lambda gone=pid: line.channel.worker is None or line.channel.worker.pid != gone)
        end = (await line.rest())[-1]
        assert isinstance(end, Failed)
        assert end.code == "worker_lost"
        assert [worker.load for worker in pool.workers] == [0, 0]


async def test_a_dead_worker_is_restarted() -> None:
    async with running(1) as pool:
        await all_ready(pool)
        (worker,) = pool.workers
        before = worker.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await settled(lambda: worker.state == "restarting")
        assert not pool.healthy
        assert not pool.has_room
        line = Line(pool)
        line.submit("Wait for me.")
        assert isinstance((await line.rest())[-1], Finished)
        assert worker.pid != before
        assert worker.restarts == 1


async def test_a_worker_that_stops_answering_is_killed_and_replaced() -> None:
    async with running(1) as pool:
        await all_ready(pool)
        (worker,) = pool.workers
        before = worker.pid
        assert before is not None
        os.kill(before, signal.SIGSTOP)
        await settled(lambda: not psutil.pid_exists(before))
        await settled(lambda: worker.healthy)


async def test_a_silent_worker_gets_no_utterance_while_another_answers() -> None:
    async with running() as pool:
        await all_ready(pool)
        hanging, answering = pool.workers
        assert hanging.pid is not None
        os.kill(hanging.pid, signal.SIGSTOP)
        await settled(lambda: hanging.silent)
        lines = [Line(pool) for _ in range(4)]
        for line in lines:
            line.submit("Hello there.")
        assert all(worker_of(line) is answering for line in lines)
        os.kill(hanging.pid, signal.SIGCONT)
        await settled(lambda: not hanging.silent)


async def stopped_under(pool: Pool, line: Line) -> Supervisor:
    """Dispatch an utterance to a worker that has just stopped running; return the worker."""
    pids = [worker.pid for worker in pool.workers if worker.pid is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    line.submit()
    stopped = worker_of(line)
    for pid in pids:
        if pid != stopped.pid:
            os.kill(pid, signal.SIGCONT)
    return stopped


async def test_an_utterance_without_sound_moves_away_from_a_silent_worker() -> None:
    async with running() as pool:
        await all_ready(pool)
        reference = Line(pool)
        reference.submit()
        expected = pcm(await reference.rest())
        line = Line(pool)
        stopped = await stopped_under(pool, line)
        assert line.channel.utterance is not None
        withdrawn = line.channel.utterance.id
        started = time.monotonic()
        first = await line.next()
        assert time.monotonic() - started < SILENCE_S - 1  # Two seconds; the stopped worker lives on.
        assert worker_of(line) is not stopped
        assert stopped.load == 0
        assert line.channel.restarts == 1

        # What the old worker still says of it is not delivered.
        assert stopped.pid is not None
        os.kill(stopped.pid, signal.SIGCONT)
        pool.on_events([Audio(withdrawn, b"\1\0" * 100), Finished(withdrawn, 0.0)], 0.0)
        events = [first, *await line.rest()]
        assert pcm(events) == expected
        await settled(lambda: not stopped.silent)
        assert line.channel.take() is None
        assert stopped.restarts == 0
        assert [worker.load for worker in pool.workers] == [0, 0]
        assert [len(worker.contexts) for worker in pool.workers] == [
            int(worker is not stopped) + int(worker is reference.channel.worker) for worker in pool.workers
        ]


async def test_an_utterance_stays_on_a_silent_worker_if_no_other_answers() -> None:
    async with running(1) as pool:
        await all_ready(pool)
        line = Line(pool)
        stopped = await stopped_under(pool, line)
        await settled(lambda: stopped.silent)
        await anyio.sleep(STALLED_TICKS * TICK_S + 0.3)  # Later than it would move.
        assert stopped.pid is not None
        os.kill(stopped.pid, signal.SIGCONT)
        assert isinstance((await line.rest())[-1], Finished)
        assert line.channel.restarts == 0


async def moved_to_stopped(pool: Pool, line: Line) -> tuple[Supervisor, Supervisor]:
    """Let an utterance move from a stopped worker to another that has stopped since; return both."""
    first = await stopped_under(pool, line)
    (second,) = [worker for worker in pool.workers if worker is not first]
    assert first.pid is not None
    assert second.pid is not None
    await anyio.sleep(0.8)  # Late enough for the second to be silent only after the first.
    os.kill(second.pid, signal.SIGSTOP)
    await settled(lambda: line.channel.worker is second)
    os.kill(first.pid, signal.SIGCONT)
    return first, second


async def test_an_utterance_moves_away_from_a_silent_worker_only_once() -> None:
    """It may be what makes them hang."""
    async with running() as pool:
        await all_ready(pool)
        line = Line(pool)
        first, second = await moved_to_stopped(pool, line)
        await settled(lambda: second.silent and not first.silent)
        await anyio.sleep(STALLED_TICKS * TICK_S + 0.3)  # Later than it would move.
        assert line.channel.worker is second
        assert second.pid is not None
        os.kill(second.pid, signal.SIGCONT)
        assert isinstance((await line.rest())[-1], Finished)
        assert line.channel.restarts == 1


async def test_an_utterance_that_has_moved_survives_the_death_of_a_worker() -> None:
    async with running() as pool:
        await all_ready(pool)
        line = Line(pool)
        _, second = await moved_to_stopped(pool, line)
        assert second.pid is not None
        os.kill(second.pid, signal.SIGKILL)
        assert isinstance((await line.rest())[-1], Finished)
        assert line.channel.restarts == 2


async def test_workers_that_die_again_and_again_fail_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "BREAKER_DEATHS", 2)
    async with running(1, "--engine=nonsense") as pool:
        with anyio.fail_after(30):
            reason = await pool.start_failed()
    assert reason == "Worker cpu_0 could not start: it exited (status 1)."


async def test_a_start_does_not_fail_once_a_worker_was_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "BREAKER_DEATHS", 1)
    async with running(1) as pool:
        await all_ready(pool)
        (worker,) = pool.workers
        worker.failure = "Out of memory."
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        await settled(lambda: worker.restarts)
        with anyio.move_on_after(0) as waiting:
            await pool.start_failed()
        assert waiting.cancelled_caught


@pytest.mark.slow
async def test_workers_that_cannot_start_open_the_breaker() -> None:
    async with running(1, "--engine=nonsense") as pool:
        (worker,) = pool.workers
        with pool.watch() as changes, anyio.fail_after(50):
            async for change in changes:
                if isinstance(change, WorkerChanged) and change.state == "broken":
                    break
        assert worker.restarts == 5
        assert not pool.healthy


async def test_pressure_is_announced_and_avoided() -> None:
    async with running(2) as pool:
        await all_ready(pool)
        pressed, relaxed = pool.workers
        with pool.watch() as changes:
            pressed.on_report(Memory(MemoryReport(90, 100)))
            change = await changes.receive()
        assert change == PressureChanged("cpu_0", "high", 0.9)
        lines = [Line(pool) for _ in range(3)]
        for line in lines:
            line.submit()
        assert all(worker_of(line) is relaxed for line in lines)
        pressed.on_report(Memory(MemoryReport(99, 100)))
        relaxed.on_report(Memory(MemoryReport(99, 100)))
        assert not pool.has_room


async def test_an_utterance_without_a_worker_in_time_fails() -> None:
    async with running(1) as pool:
        await all_ready(pool)
        pool.workers[0].on_report(Memory(MemoryReport(99, 100)))
        pool.workers[0].gauge.read = lambda report: False  # type: ignore[method-assign]
        line = Line(pool)
        line.submit()
        started = time.monotonic()
        end = (await line.rest())[-1]
        assert isinstance(end, Failed)
        assert (end.code, end.retryable) == (Full.code, True)
        assert 1.5 < time.monotonic() - started < 10


async def test_an_utterance_that_no_worker_can_take_fails_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "WAIT_FOR_WORKER_S", 0.2)
    async with running(1, "--engine=nonsense") as pool:
        line = Line(pool)
        line.submit()
        end = (await line.rest())[-1]
        assert isinstance(end, Failed)
        assert (end.code, end.message) == ("worker_lost", "No worker is running; try again in a moment.")


async def test_no_process_outlives_the_pool() -> None:
    async with running() as pool:
        await all_ready(pool)
        children = [psutil.Process(worker.pid) for worker in pool.workers]
        line = Line(pool)
        line.submit(SENTENCE * 20)
    assert all(not child.is_running() for child in children)


async def test_a_worker_that_cannot_be_reaped_does_not_hold_up_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = WorkerCommand(select_engine("espeak").worker_arguments, start_timeout_s=20)
    pool = Pool([Device("cpu_0", {})], command)
    with capture_logs() as logs, unreapable(monkeypatch):
        async with pool.running():
            await all_ready(pool)
            pid = pool.workers[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)  # It does not exit by itself.
            leaving = time.monotonic()
        assert time.monotonic() - leaving < SHUTDOWN_S + REAP_S + 3
    assert [line["pid"] for line in logs if line["log_level"] == "warning"] == [pid]
