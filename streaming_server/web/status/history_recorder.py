"""Records the history of the server, once a second."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from streaming_server.contexts import Contexts
from streaming_server.metrics import Metrics
from streaming_server.pool.memory import PressureGauge
from streaming_server.pool.pool import Pool, WorkerChanged
from streaming_server.web.status.history import FINE_STEP_S, DeviceMemory, History, Load, StatusHistory
from streaming_server.web.websocket.registry import Connections


class HistoryRecorder:
    """uptime_s: returns the seconds since the server started."""

    def __init__(
        self,
        pool: Pool,
        contexts: Contexts,
        connections: Connections,
        metrics: Metrics,
        uptime_s: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._contexts = contexts
        self._connections = connections
        self._metrics = metrics
        self._uptime_s = uptime_s
        self._history = StatusHistory(time.time() - uptime_s(), [worker.device.id for worker in pool.workers])
        self._heard = 0

    async def run(self) -> None:
        """Record the load every second and the changes of workers as they happen, until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._record_changes)
            while True:
                self._history.sample(self._uptime_s(), self._load())
                await anyio.sleep(FINE_STEP_S)

    def history(self, minutes: int, since: float) -> History:
        """Return the last `minutes`, without what was before `since`, in seconds since the server started."""
        return self._history.since(minutes, since, self._uptime_s())

    async def _record_changes(self) -> None:
        with self._pool.watch() as changes:
            async for change in changes:
                if isinstance(change, WorkerChanged):
                    self._history.worker_changed(self._uptime_s(), change.device, change.state)

    def _load(self) -> Load:
        self._heard, times = self._metrics.heard_since(self._heard)
        return Load(
            self._contexts.take_peak(),
            sum(self._pool.queued(worker) for worker in self._pool.workers),
            len(self._connections),
            {worker.device.id: _memory(worker.gauge) for worker in self._pool.workers},
            [1000 * seconds for seconds in times],
        )


def _memory(gauge: PressureGauge) -> DeviceMemory:
    report = gauge.report
    if not report.total:
        return DeviceMemory(None)
    return DeviceMemory(
        gauge.pressure,
        None if report.model is None else report.model / report.total,
        None if report.slots is None else report.slots / report.total,
    )
