"""How the server is doing: the status channel, the health routes and the numbers behind them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

import anyio
import anyio.to_thread
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send
from typing_extensions import TypedDict

from streaming_server.errors import RateLimited
from streaming_server.metrics import FirstAudioPercentiles
from streaming_server.pool.supervisor import Supervisor
from streaming_server.web.limits import MessageRate
from streaming_server.web.openapi.operation import operation
from streaming_server.web.requests import keyed
from streaming_server.web.responses import Json, retry_after
from streaming_server.web.services import Parts, parts_of
from streaming_server.web.websocket.admission import admit, send_away
from streaming_server.web.websocket.registry import message_of

STATUS_EVERY_S = 1.0
LAG_EVERY_S = 0.25


def device_status(worker: Supervisor, queued: int) -> Device:
    """One device with its worker and its memory, in bytes."""
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
            "pressure": round(worker.gauge.pressure, 4),
            "level": worker.gauge.level,
        },
    }


def status(parts: Parts) -> dict[str, Any]:
    """The whole state, as the status channel tells it."""
    return {
        "type": "status",
        "devices": [device_status(worker, parts.pool.queued(worker)) for worker in parts.pool.workers],
        "contexts": len(parts.contexts),
        "connections": len(parts.connections),
        "first_audio_ms": asdict(parts.metrics.first_audio_ms),
        "jobs": parts.job_queue.running(),
        "uptime_s": round(time.monotonic() - parts.started_at, 1),
    }


class Worker(TypedDict):
    state: str
    pid: int | None
    restarts: int
    active: int
    queued: int
    slots: int


class Memory(TypedDict):
    """Bytes, and the share used."""

    used: int
    total: int
    pressure: float
    level: str


class Device(TypedDict):
    id: str
    name: str
    worker: Worker
    memory: Memory


class State(TypedDict):
    status: str


class Health(TypedDict):
    status: Literal["healthy", "unhealthy"]
    model_loaded: bool
    timestamp: float


class DevicePressure(TypedDict):
    pressure: float
    status: str


class QueueStats(TypedDict):
    total_workers: int
    active_workers: int
    active: int
    queued: int
    slots: int
    contexts: int
    connections: int
    pending_jobs: int
    processing_jobs: int
    completed_jobs: int
    failed_jobs: int
    first_audio_ms: FirstAudioPercentiles
    memory_pressure: dict[str, DevicePressure]


class GpuMemory(TypedDict):
    """Bytes of the whole device."""

    allocated: int
    reserved: int
    total: int
    free_gb: float


class GpuStatus(TypedDict):
    gpu_mode: str
    gpu_count: int
    allowed_gpus: list[int]
    use_multi_gpu: bool
    models_loaded: int
    gpu_memory: dict[str, GpuMemory]
    devices: list[Device]


def routes() -> list[BaseRoute]:
    return [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/health", health),
        Route("/queue/stats", keyed(queue_stats)),
        Route("/gpu/status", keyed(gpu_status)),
        Route("/metrics", keyed(metrics)),
    ]


class StatusChannel:
    """`/ws/status`: the state on connecting and every second, changes at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._state = ""
        self._ticked = anyio.Event()
        self._ticking = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = await admit(scope, receive, send, self._parts.limits.watching)
        if place is None:
            return
        with place, self._parts.metrics.watchers.track_inprogress():
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._tick)
                    group.start_soon(self._tell_state, send)
                    group.start_soon(self._tell_changes, send)
                    await self._until_gone(receive)
                    group.cancel_scope.cancel()
            except* OSError:
                pass  # The reader left; there is nobody to tell.
            except* RateLimited:
                await send_away(send, RateLimited("There is nothing to say here so often."))

    async def _tick(self) -> None:
        """Word the state for all who watch: the task of one of them does, and when that goes, another's."""
        async with self._ticking:
            try:
                while True:
                    self._state = orjson.dumps(status(self._parts)).decode()
                    self._ticked.set()
                    self._ticked = anyio.Event()
                    await anyio.sleep(STATUS_EVERY_S)
            finally:
                self._state = ""

    async def _tell_state(self, send: Send) -> None:
        while True:
            ticked = self._ticked
            if self._state:
                await self._tell(send, self._state)
            await ticked.wait()

    async def _tell_changes(self, send: Send) -> None:
        with self._parts.pool.watch() as changes:
            async for change in changes:
                await self._tell(send, orjson.dumps(message_of(change)).decode())

    async def _tell(self, send: Send, text: str) -> None:
        with anyio.fail_after(self._parts.settings.send_timeout_s):
            await send({"type": "websocket.send", "text": text})

    async def _until_gone(self, receive: Receive) -> None:
        """Raises RateLimited: what comes here is not read, but costs something all the same."""
        rate = MessageRate(self._parts.settings.messages_per_second)
        while (await receive())["type"] != "websocket.disconnect":
            rate.count()


@operation("state", "Check that the server runs")
async def livez(request: Request) -> Json[State]:
    """The event loop turns."""
    return Json({"status": "ok"})


@operation("state", "Check that the server can speak", also={503: "Not ready, or shutting down."})
async def readyz(request: Request) -> Json[State]:
    """A worker has really spoken a moment ago, and new connections are let in."""
    parts = parts_of(request)
    if parts.limits.draining or not parts.pool.healthy:
        state = "draining" if parts.limits.draining else "not ready"
        return Json({"status": state}, status_code=503, headers=retry_after(503))
    return Json({"status": "ready"})


@operation("state", "Get the health, as Dia's clients ask for it")
async def health(request: Request) -> Json[Health]:
    """What the earlier server's clients ask for."""
    parts = parts_of(request)
    return Json(
        {
            "status": "healthy" if parts.pool.healthy else "unhealthy",
            "model_loaded": any(worker.state == "ready" for worker in parts.pool.workers),
            "timestamp": time.time(),
        }
    )


@operation("state", "Get workers, jobs and memory pressure")
async def queue_stats(request: Request) -> Json[QueueStats]:
    """Work in hand, and the memory pressure of each device."""
    parts = parts_of(request)
    now = status(parts)
    jobs = await anyio.to_thread.run_sync(parts.jobs.counts)
    workers = [device["worker"] for device in now["devices"]]
    return Json(
        {
            "total_workers": len(workers),
            "active_workers": sum(worker["state"] == "ready" for worker in workers),
            "active": sum(worker["active"] for worker in workers),
            "queued": sum(worker["queued"] for worker in workers),
            "slots": sum(worker["slots"] for worker in workers),
            "contexts": now["contexts"],
            "connections": now["connections"],
            "pending_jobs": jobs["pending"],
            "processing_jobs": jobs["processing"],
            "completed_jobs": jobs["completed"],
            "failed_jobs": jobs["failed"],
            "first_audio_ms": now["first_audio_ms"],
            "memory_pressure": {
                device["id"]: {
                    "pressure": device["memory"]["pressure"],
                    "status": device["memory"]["level"] if device["memory"]["total"] else "unknown",
                }
                for device in now["devices"]
            },
        }
    )


@operation("state", "Get the devices")
async def gpu_status(request: Request) -> Json[GpuStatus]:
    """The devices; without a GPU, the CPU."""
    parts = parts_of(request)
    devices = status(parts)["devices"]
    gpus = [device for device in devices if device["id"].startswith("gpu_")]
    return Json(
        {
            "gpu_mode": parts.settings.gpu_mode,
            "gpu_count": len(gpus),
            "allowed_gpus": [int(gpu["id"].removeprefix("gpu_")) for gpu in gpus],
            "use_multi_gpu": len(gpus) > 1,
            "models_loaded": sum(device["worker"]["state"] == "ready" for device in devices),
            "gpu_memory": {gpu["id"]: _room(gpu["memory"]) for gpu in gpus},
            "devices": devices,
        }
    )


def _room(memory: Memory) -> GpuMemory:
    """As the earlier server told it, but of the whole device: what other programs hold is not free."""
    used, total = memory["used"], memory["total"]
    return {"allocated": used, "reserved": used, "total": total, "free_gb": round((total - used) / 2**30, 2)}


@operation("state", "Get metrics for Prometheus", media=("text/plain",))
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    parts = parts_of(request)
    return Response(
        parts.metrics.exposition(_gauges(parts)), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


def _gauges(parts: Parts) -> Iterator[tuple[str, float, int]]:
    for worker in parts.pool.workers:
        yield worker.device.id, worker.gauge.pressure, worker.restarts


async def measure_lag(parts: Parts) -> None:
    """Watch how late the event loop runs a timer."""
    while True:
        due = time.monotonic() + LAG_EVERY_S
        await anyio.sleep(LAG_EVERY_S)
        parts.metrics.loop_lag.observe(max(0.0, time.monotonic() - due))
