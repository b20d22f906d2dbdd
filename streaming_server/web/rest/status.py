"""Health, statistics and metrics over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from streaming_server.errors import BadValue
from streaming_server.metrics import FirstAudioPercentiles
from streaming_server.voices.downloads import DownloadProgress
from streaming_server.web.keyed import keyed
from streaming_server.web.openapi.operation import operation
from streaming_server.web.responses import Json, retry_after
from streaming_server.web.services import SpeechServices, job_services, operations, speech_services
from streaming_server.web.status.history import History
from streaming_server.web.status.history_query import HistoryQuery
from streaming_server.web.status.server_status import DeviceState, MemoryState
from streaming_server.web.validation import validated_query


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
    voices: dict[str, DownloadProgress]


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
    devices: list[DeviceState]


def routes() -> list[BaseRoute]:
    return [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/health", health),
        Route("/queue/stats", keyed(queue_stats)),
        Route("/gpu/status", keyed(gpu_status)),
        Route("/status/history", keyed(history)),
        Route("/metrics", keyed(metrics)),
    ]


@operation("state", "Check that the server runs")
async def livez(request: Request) -> Json[State]:
    """Return 200 as long as the event loop runs."""
    return Json({"status": "ok"})


@operation("state", "Check that the server can speak", also={503: "Not ready, or shutting down."})
async def readyz(request: Request) -> Json[State]:
    """Return 200 if a worker has spoken recently and new connections are accepted, otherwise 503."""
    services = speech_services(request)
    if services.limits.draining or not services.pool.healthy:
        state = "draining" if services.limits.draining else "not ready"
        return Json({"status": state}, status_code=503, headers=retry_after(503))
    return Json({"status": "ready"})


@operation("state", "Get the health in the Dia server's format")
async def health(request: Request) -> Json[Health]:
    services = speech_services(request)
    return Json(
        {
            "status": "healthy" if services.pool.healthy else "unhealthy",
            "model_loaded": any(worker.state == "ready" for worker in services.pool.workers),
            "timestamp": time.time(),
        }
    )


@operation("state", "Get workers, jobs and memory pressure")
async def queue_stats(request: Request) -> Json[QueueStats]:
    now = operations(request).status.to_json()
    jobs = await to_thread.run_sync(job_services(request).jobs.counts)
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
            "voices": now["voices"],
        }
    )


@operation("state", "Get the devices")
async def gpu_status(request: Request) -> Json[GpuStatus]:
    """Without a GPU, the CPU is listed."""
    services = speech_services(request)
    devices = operations(request).status.to_json()["devices"]
    gpus = [device for device in devices if device["id"].startswith("gpu_")]
    return Json(
        {
            "gpu_mode": services.settings.gpu_mode,
            "gpu_count": len(gpus),
            "allowed_gpus": [int(gpu["id"].removeprefix("gpu_")) for gpu in gpus],
            "use_multi_gpu": len(gpus) > 1,
            "models_loaded": sum(device["worker"]["state"] == "ready" for device in devices),
            "gpu_memory": {gpu["id"]: _room(gpu["memory"]) for gpu in gpus},
            "devices": devices,
        }
    )


def _room(memory: MemoryState) -> GpuMemory:
    """Return memory in the Dia server's format, but of the whole device, other programs included."""
    used, total = memory["used"], memory["total"]
    return {"allocated": used, "reserved": used, "total": total, "free_gb": round((total - used) / 2**30, 2)}


@operation(
    "state",
    "Get the recent past: first audio, load and memory over time",
    query=HistoryQuery,
    errors=(BadValue,),
)
async def history(request: Request) -> Json[History]:
    """Return columns for charts: a row for each second of 15 minutes, beyond that for each 10 seconds."""
    query = validated_query(HistoryQuery, request.query_params)
    return Json(operations(request).status_history.history(query.minutes, query.since))


@operation("state", "Get metrics for Prometheus", media=("text/plain",))
async def metrics(request: Request) -> Response:
    services = speech_services(request)
    page = services.metrics.exposition(services.pool.slots, _gauges(services))
    return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")


def _gauges(services: SpeechServices) -> Iterator[tuple[str, float, int]]:
    for worker in services.pool.workers:
        yield worker.device.id, worker.gauge.pressure, worker.restarts
