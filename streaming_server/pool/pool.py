"""The pool: places contexts on workers and tells what became of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from streaming_server.errors import Full, SpeechError, WorkerLost
from streaming_server.ipc.messages import Prepare
from streaming_server.pool.channel import Lane
from streaming_server.pool.devices import Device
from streaming_server.pool.memory import Level
from streaming_server.pool.placement import QUEUE_SHARE, Candidate, choose
from streaming_server.pool.supervisor import Supervisor, WorkerCommand, WorkerState
from streaming_server.types import EngineInfo, Event, Voice

WAIT_FOR_ROOM_S = 2.0
WAIT_FOR_WORKER_S = 5.0
"""How long an utterance may wait for a place, and for another worker after its own died."""
TICK_S = 0.1
WATCH_BACKLOG = 64


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
    """Workers, and the lanes that run through them. Lives on the event loop; never blocks it.

    on_step is called with the seconds of every engine step, for the metrics.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        command: WorkerCommand,
        on_step: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.workers = [Supervisor(device, command, self) for device in devices]
        self._on_step = on_step
        self._lanes: dict[int, Lane] = {}
        self._waiting: dict[int, Lane] = {}
        self._watchers: set[MemoryObjectSendStream[Change]] = set()
        self._cloned: tuple[Voice, ...] = ()
        self._ids = 0
        self._last_placed = -1
        self._info_known = anyio.Event()
        self._hopeless = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the workers; on leaving, end them all."""
        async with anyio.create_task_group() as group:
            for worker in self.workers:
                group.start_soon(worker.run)
            group.start_soon(self._expire)
            try:
                yield
            finally:
                group.cancel_scope.cancel()

    async def engine(self) -> EngineInfo:
        """What the engine is; waits for the first worker that knows."""
        while (info := self.info) is None:
            await self._info_known.wait()
        return info

    async def hopeless(self) -> str:
        """Wait until every worker has refused to start, none having ever been ready; the reason."""
        await self._hopeless.wait()
        return next(worker.refusal for worker in self.workers if worker.refusal)

    @property
    def info(self) -> EngineInfo | None:
        return next((worker.info for worker in self.workers if worker.info is not None), None)

    @property
    def healthy(self) -> bool:
        return any(worker.healthy for worker in self.workers)

    @property
    def has_room(self) -> bool:
        """Whether a context that opens now would be placed."""
        return choose(self._candidates(), self._last_placed) is not None

    def open(self, wake: Callable[[], None]) -> Lane:
        """A lane for a new context."""
        return Lane(self.next_id(), wake, self)

    def prepare(self, voices: Iterable[Voice]) -> None:
        """Set the voices there are. Every worker, also one that starts later, prepares their samples.

        Those that the call before named are not sent again.
        """
        known = set(self._cloned)
        self._cloned = tuple(voice for voice in dict.fromkeys(voices) if voice.voice_sample is not None)
        for worker in self.workers:
            if worker.state == "ready":
                self._prepare(worker, (voice for voice in self._cloned if voice not in known))

    def queued(self, worker: Supervisor) -> int:
        """Utterances on a worker beyond its slots."""
        return max(0, worker.load - (worker.info.slots if worker.info else 0))

    @contextmanager
    def watch(self) -> Iterator[MemoryObjectReceiveStream[Change]]:
        """Changes of worker states and memory levels, as they happen. A watcher that lags loses some."""
        send, receive = anyio.create_memory_object_stream[Change](WATCH_BACKLOG)
        self._watchers.add(send)
        try:
            with send, receive:
                yield receive
        finally:
            self._watchers.discard(send)

    # For the lanes.

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def place(self, lane: Lane) -> None:
        """Seat a lane that has an utterance, or let it wait for a place."""
        assert lane.utterance is not None
        self._lanes[lane.utterance.id] = lane
        if not self._seat(lane):
            room = sum(worker.info.slots for worker in self.workers if worker.info) * QUEUE_SHARE
            if self.healthy and len(self._waiting) >= room:
                lane.fail(Full, "All voices are taken; try again in a moment.")
                return
            lane.expires_at = time.monotonic() + (WAIT_FOR_ROOM_S if self.healthy else WAIT_FOR_WORKER_S)
            self._waiting[lane.context] = lane

    def forget(self, lane: Lane) -> None:
        if lane.utterance is not None:
            self._lanes.pop(lane.utterance.id, None)
        self._waiting.pop(lane.context, None)

    # For the supervisors.

    def spoke(self, worker: Supervisor, events: list[Event], step_s: float) -> None:
        self._on_step(step_s)
        for event in events:
            if (lane := self._lanes.get(event.utterance)) is not None:
                lane.deliver(event)
        if self._waiting:
            self._seat_waiting()

    def changed(self, worker: Supervisor) -> None:
        if worker.info is not None and not self._info_known.is_set():
            self._info_known.set()
        if worker.state == "ready":
            self._prepare(worker, self._cloned)
            self._seat_waiting()
        else:
            self._lose(worker)
            if self.info is None and all(one.refusal for one in self.workers):
                self._hopeless.set()
        self._announce(WorkerChanged(worker.device.id, worker.state))

    def pressed(self, worker: Supervisor) -> None:
        gauge = worker.gauge
        self._announce(PressureChanged(worker.device.id, gauge.level, round(gauge.pressure, 4)))

    @staticmethod
    def _prepare(worker: Supervisor, voices: Iterable[Voice]) -> None:
        for voice in voices:
            worker.send(Prepare(voice))

    def _lose(self, worker: Supervisor) -> None:
        """Speak again elsewhere what nobody has heard; end what somebody has."""
        worker.load = 0
        worker.contexts.clear()
        for lane in [lane for lane in self._lanes.values() if lane.seated and lane.worker is worker]:
            if lane.lose_worker():
                self.place(lane)
            else:
                lane.fail(WorkerLost, "The worker that was speaking died; say it again.")

    def _seat(self, lane: Lane) -> bool:
        """Place a lane where it began, while that worker lives, or wherever is best."""
        if (home := lane.home) is not None:
            lane.seat(home)
            return True
        index = choose(self._candidates(), self._last_placed)
        if index is None:
            return False
        self._last_placed = index
        lane.seat(self.workers[index])
        return True

    def _seat_waiting(self) -> None:
        for lane in list(self._waiting.values()):
            if not self._seat(lane):
                return
            del self._waiting[lane.context]

    async def _expire(self) -> None:
        """End what has waited too long for a place."""
        while True:
            await anyio.sleep(TICK_S)
            self._seat_waiting()
            for lane in list(self._waiting.values()):
                if lane.waited_too_long:
                    error: type[SpeechError] = Full if self.healthy else WorkerLost
                    lane.fail(error, "No worker could take this in time; try again in a moment.")

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
