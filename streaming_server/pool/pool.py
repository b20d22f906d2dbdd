"""The pool: places contexts on workers and delivers the workers' events to them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from streaming_server.errors import Full, WorkerLost
from streaming_server.ipc.messages import Prepare
from streaming_server.pool.channel import Channel
from streaming_server.pool.devices import Device
from streaming_server.pool.memory import Level
from streaming_server.pool.placement import QUEUE_SHARE, Candidate, choose
from streaming_server.pool.supervisor import Supervisor, WorkerCommand, WorkerState
from streaming_server.types import EngineInfo, Event, Voice

WAIT_FOR_ROOM_S = 2.0
WAIT_FOR_WORKER_S = 5.0
"""Seconds an utterance may wait for capacity of a healthy pool, and for a worker if none is healthy."""
TICK_S = 0.1
WATCH_BACKLOG = 64
"""Changes kept for a watcher that falls behind."""


@dataclass(frozen=True, slots=True)
class WorkerChanged:
    device: str
    state: WorkerState


@dataclass(frozen=True, slots=True)
class PressureChanged:
    device: str
    level: Level
    pressure: float


Change = WorkerChanged | PressureChanged


class Pool:
    """Workers, and the channels that lead to them. Runs on the event loop and never blocks it.

    on_step: called with the duration of every engine step, in seconds.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        command: WorkerCommand,
        on_step: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.workers = [Supervisor(device, command, self) for device in devices]
        self._on_step = on_step
        self._channels: dict[int, Channel] = {}
        self._waiting: dict[int, Channel] = {}
        self._watchers: set[MemoryObjectSendStream[Change]] = set()
        self._cloned: tuple[Voice, ...] = ()
        self._ids = 0
        self._ticks = 0
        self._last_placed = -1
        self._info_known = anyio.Event()
        self._was_ready = False
        self._start_failed = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the workers; terminate them all on exit."""
        async with anyio.create_task_group() as group:
            for worker in self.workers:
                group.start_soon(worker.run)
            group.start_soon(self._tick)
            try:
                yield
            finally:
                group.cancel_scope.cancel()

    async def engine(self) -> EngineInfo:
        """Return the engine's description; wait until a worker has reported it."""
        while (info := self.info) is None:
            await self._info_known.wait()
        return info

    async def start_failed(self) -> str:
        """Wait until every worker has failed to start and none was ever ready; return the reason."""
        await self._start_failed.wait()
        return next(worker.failure for worker in self.workers if worker.failure)

    @property
    def info(self) -> EngineInfo | None:
        return next((worker.info for worker in self.workers if worker.info is not None), None)

    @property
    def slots(self) -> int:
        """Return how many utterances all workers together keep in real time."""
        return sum(worker.info.slots for worker in self.workers if worker.info)

    @property
    def healthy(self) -> bool:
        return any(worker.healthy for worker in self.workers)

    @property
    def has_room(self) -> bool:
        """Return whether a context opened now would be placed at once."""
        return choose(self._candidates(), self._last_placed) is not None

    def open(self, wake: Callable[[], None]) -> Channel:
        """Return a channel for a new context."""
        return Channel(self.next_id(), wake, self)

    def prepare(self, voices: Iterable[Voice]) -> None:
        """Have every worker, including those that start later, prepare the samples of these voices.

        Voices named in the previous call are not sent again.
        """
        known = set(self._cloned)
        self._cloned = tuple(voice for voice in dict.fromkeys(voices) if voice.voice_sample is not None)
        for worker in self.workers:
            if worker.state == "ready":
                self._prepare(worker, (voice for voice in self._cloned if voice not in known))

    def queued(self, worker: Supervisor) -> int:
        """Return how many utterances wait for a slot on a worker."""
        return max(0, worker.load - (worker.info.slots if worker.info else 0))

    @contextmanager
    def watch(self) -> Iterator[MemoryObjectReceiveStream[Change]]:
        """Stream changes of worker state and memory level. A watcher that falls behind loses some."""
        send, receive = anyio.create_memory_object_stream[Change](WATCH_BACKLOG)
        self._watchers.add(send)
        try:
            with send, receive:
                yield receive
        finally:
            self._watchers.discard(send)

    # For the channels.

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def place(self, channel: Channel) -> None:
        """Dispatch a channel's utterance, or queue it until a worker has room."""
        assert channel.utterance is not None
        self._channels[channel.utterance.id] = channel
        if not self._dispatch(channel):
            room = self.slots * QUEUE_SHARE
            if self.healthy and len(self._waiting) >= room:
                self._refuse(channel)
                return
            channel.expires_at = time.monotonic() + (WAIT_FOR_ROOM_S if self.healthy else WAIT_FOR_WORKER_S)
            self._waiting[channel.context] = channel

    def remove(self, channel: Channel) -> None:
        if channel.utterance is not None:
            self._channels.pop(channel.utterance.id, None)
        self._waiting.pop(channel.context, None)

    # For the supervisors.

    def on_events(self, events: list[Event], step_s: float) -> None:
        self._on_step(step_s)
        for event in events:
            if (channel := self._channels.get(event.utterance)) is not None:
                channel.deliver(event)
        if self._waiting:
            self._dispatch_waiting()

    def is_paused(self, worker: Supervisor) -> bool:
        """Return whether an utterance on a worker waits for its listener to take what it has received."""
        return any(one.worker is worker and one.buffered > 0 for one in self._channels.values())

    def on_state(self, worker: Supervisor) -> None:
        if worker.info is not None and not self._info_known.is_set():
            self._info_known.set()
        if worker.state == "ready":
            self._was_ready = True
            self._prepare(worker, self._cloned)
            self._dispatch_waiting()
        else:
            self._lose(worker)
            if not self._was_ready and all(other.failure for other in self.workers):
                self._start_failed.set()
        self._announce(WorkerChanged(worker.device.id, worker.state))

    def on_level(self, worker: Supervisor) -> None:
        gauge = worker.gauge
        self._announce(PressureChanged(worker.device.id, gauge.level, round(gauge.pressure, 4)))

    @staticmethod
    def _prepare(worker: Supervisor, voices: Iterable[Voice]) -> None:
        for voice in voices:
            worker.send(Prepare(voice))

    def _lose(self, worker: Supervisor) -> None:
        """Restart the dead worker's unheard utterances elsewhere; fail the others."""
        worker.load = 0
        worker.contexts.clear()
        channels = list(self._channels.values())
        for channel in channels:
            if not channel.dispatched or channel.worker is not worker:
                continue
            if channel.lose_worker():
                self.place(channel)
            else:
                channel.fail(WorkerLost, "The worker that was speaking has died; send the text again.")

    def _dispatch(self, channel: Channel) -> bool:
        """Dispatch to the worker the context started on if it lives, else to the best one."""
        if (home := channel.home) is not None:
            channel.dispatch(home, self._ticks)
            return True
        index = choose(self._candidates(), self._last_placed)
        if index is None:
            return False
        self._last_placed = index
        channel.dispatch(self.workers[index], self._ticks)
        return True

    def _dispatch_waiting(self) -> None:
        for channel in list(self._waiting.values()):
            if not self._dispatch(channel):
                return
            del self._waiting[channel.context]

    async def _tick(self) -> None:
        """Dispatch waiting utterances, fail expired ones and move stalled ones, every TICK_S."""
        while True:
            await anyio.sleep(TICK_S)
            self._ticks += 1
            self._dispatch_waiting()
            self._fail_expired()
            self._move_stalled()

    def _fail_expired(self) -> None:
        """Fail utterances that have waited too long for a worker."""
        for channel in list(self._waiting.values()):
            if channel.expired:
                self._refuse(channel)

    def _refuse(self, channel: Channel) -> None:
        """Fail an utterance that no worker takes."""
        if self.healthy:
            channel.fail(Full, "All workers are busy; try again in a moment.")
        else:
            channel.fail(WorkerLost, "No worker is running; try again in a moment.")

    def _move_stalled(self) -> None:
        """Move utterances without sound from silent workers to those that answer."""
        if not any(worker.silent for worker in self.workers):
            return
        for channel in list(self._channels.values()):
            silent = channel.worker is not None and channel.worker.silent
            if silent and channel.stalled(self._ticks):
                self._move(channel)

    def _move(self, channel: Channel) -> None:
        assert channel.utterance is not None
        answering = [replace(one, ready=one.ready and not one.silent) for one in self._candidates()]
        if (index := choose(answering, self._last_placed)) is None:
            return
        self._last_placed = index
        del self._channels[channel.utterance.id]
        channel.withdraw(self.next_id())
        self._channels[channel.utterance.id] = channel
        channel.dispatch(self.workers[index], self._ticks)

    def _candidates(self) -> list[Candidate]:
        return [
            Candidate(
                worker.state == "ready",
                worker.gauge.level,
                worker.load,
                worker.info.slots if worker.info else 1,
                len(worker.contexts),
                worker.silent,
            )
            for worker in self.workers
        ]

    def _announce(self, change: Change) -> None:
        for watcher in list(self._watchers):
            try:
                watcher.send_nowait(change)
            except (anyio.WouldBlock, anyio.BrokenResourceError):
                continue
