"""The state of the server, as operators see it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import anyio
import orjson
from typing_extensions import TypedDict

from streaming_server.contexts import Contexts
from streaming_server.jobs.queue import JobQueue
from streaming_server.metrics import Metrics
from streaming_server.pool.pool import Pool
from streaming_server.pool.supervisor import Supervisor
from streaming_server.voices.downloads import VoiceFiles
from streaming_server.web.websocket.registry import Connections

STATUS_INTERVAL_S = 1.0
"""Seconds between the messages of a status channel."""
LAG_INTERVAL_S = 0.25
"""Seconds between measurements of the event loop's lag."""


class WorkerState(TypedDict):
    state: str
    pid: int | None
    restarts: int
    active: int
    queued: int
    slots: int


class MemoryState(TypedDict):
    """Bytes, and the share used. model, slots: of the engine on it, None if not known."""

    used: int
    total: int
    model: int | None
    slots: int | None
    pressure: float
    level: str


class DeviceState(TypedDict):
    id: str
    name: str
    worker: WorkerState
    memory: MemoryState


class ServerStatus:
    """Collects the state. node: the server's name among others."""

    def __init__(
        self,
        node: str,
        pool: Pool,
        contexts: Contexts,
        connections: Connections,
        metrics: Metrics,
        job_queue: JobQueue,
        voice_files: VoiceFiles,
    ) -> None:
        self._node = node
        self._pool = pool
        self._contexts = contexts
        self._connections = connections
        self._metrics = metrics
        self._job_queue = job_queue
        self._voice_files = voice_files
        self._started_at = time.monotonic()
        self._message = ""
        self._ticked = anyio.Event()
        self._ticking = anyio.Lock()

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._started_at

    async def tick(self) -> None:
        """Encode the state every second, until cancelled. One watcher's task does it for all of them."""
        async with self._ticking:
            try:
                while True:
                    self._message = orjson.dumps(self.to_json()).decode()
                    self._ticked.set()
                    self._ticked = anyio.Event()
                    await anyio.sleep(STATUS_INTERVAL_S)
            finally:
                self._message = ""

    async def messages(self) -> AsyncIterator[str]:
        """Iterate over the encoded state: as it is now, and each time it is encoded anew."""
        while True:
            ticked = self._ticked
            if self._message:
                yield self._message
            await ticked.wait()

    def to_json(self) -> dict[str, Any]:
        """Return the `status` message of the status channel."""
        return {
            "type": "status",
            "node": self._node,
            "devices": [_device_state(worker, self._pool.queued(worker)) for worker in self._pool.workers],
            "contexts": len(self._contexts),
            "connections": len(self._connections),
            "first_audio_ms": asdict(self._metrics.first_audio_ms),
            "jobs": self._job_queue.running(),
            "voices": self._voice_files.unfinished(),
            "uptime_s": round(self.uptime_s, 1),
        }


def _device_state(worker: Supervisor, queued: int) -> DeviceState:
    """Return a device with its worker and its memory, in bytes."""
    report = worker.gauge.report
    return {
        "id": worker.device.id,
        "name": worker.name,
        "worker": {
            "state": worker.state,
            "pid": worker.pid,
            "restarts": worker.restarts,
            "active": worker.load - queued,
            "queued": queued,
            "slots": worker.info.slots if worker.info else 0,
        },
        "memory": {
            "used": report.used,
            "total": report.total,
            "model": report.model,
            "slots": report.slots,
            "pressure": round(worker.gauge.pressure, 4),
            "level": worker.gauge.level,
        },
    }


async def measure_loop_lag(metrics: Metrics) -> None:
    """Measure how late the event loop runs a timer, until cancelled."""
    while True:
        due = time.monotonic() + LAG_INTERVAL_S
        await anyio.sleep(LAG_INTERVAL_S)
        metrics.loop_lag.observe(max(0.0, time.monotonic() - due))
