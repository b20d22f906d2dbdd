"""How the server is doing: the status channel, the health routes and the numbers behind them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import anyio
import orjson
from anyio.abc import TaskGroup
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from streaming_server.errors import SpeechError, Unauthorized
from streaming_server.pool.pool import Change, PressureChanged
from streaming_server.pool.supervisor import Supervisor
from streaming_server.web.guard import key_of
from streaming_server.web.messages import Auth, read
from streaming_server.web.parts import Parts, parts_of
from streaming_server.web.speak import RETRY_AFTER_S, refuse

STATUS_EVERY_S = 1.0
LAG_EVERY_S = 0.25


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def device_status(worker: Supervisor, queued: int) -> dict[str, Any]:
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
        "connections": len(parts.sessions),
        "first_audio_ms": asdict(parts.metrics.first_audio_ms),
        "uptime_s": round(time.monotonic() - parts.started_at, 1),
    }


async def status_channel(scope: Scope, receive: Receive, send: Send) -> None:
    """`/ws/status`: the state on connecting and every second, changes at once."""
    socket = WebSocket(scope, receive, send)
    parts = parts_of(socket)
    try:
        parts.guard.check_origin(socket)
        if (key := key_of(socket)) is not None:
            parts.guard.check_key(key)
    except SpeechError as error:
        await refuse(send, error)
        return
    await socket.accept()
    try:
        if key is None and parts.guard.wants_key:
            await _authenticate(socket, parts)
    except Unauthorized as error:
        await socket.close(error.close_code, error.message)
        return
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_tell_state, socket, parts)
            group.start_soon(_tell_changes, socket, parts)
            await _until_gone(socket, group)
    except* (WebSocketDisconnect, OSError):
        pass  # The reader left; there is nobody to tell.


async def _authenticate(socket: WebSocket, parts: Parts) -> None:
    """Browsers cannot send headers: their key is the first message."""
    with anyio.move_on_after(parts.settings.auth_timeout_s):
        try:
            event = await socket.receive()
            message = read(event.get("text") or "")
            parts.guard.check_key(message.key if isinstance(message, Auth) else None)
        except SpeechError:
            raise Unauthorized("The first message must carry a valid key.") from None
        return
    raise Unauthorized("No key came in time.")


async def _until_gone(socket: WebSocket, group: TaskGroup) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    group.cancel_scope.cancel()


async def _tell_state(socket: WebSocket, parts: Parts) -> None:
    while True:
        with anyio.fail_after(parts.settings.send_timeout_s):
            await socket.send_text(orjson.dumps(status(parts)).decode())
        await anyio.sleep(STATUS_EVERY_S)


async def _tell_changes(socket: WebSocket, parts: Parts) -> None:
    with parts.pool.watch() as changes:
        async for change in changes:
            with anyio.fail_after(parts.settings.send_timeout_s):
                await socket.send_text(orjson.dumps(_change(change)).decode())


def _change(change: Change) -> dict[str, Any]:
    kind = "memory_pressure" if isinstance(change, PressureChanged) else "worker"
    return {"type": kind, **asdict(change)}


async def livez(request: Request) -> Response:
    """The event loop turns."""
    return Json({"status": "ok"})


async def readyz(request: Request) -> Response:
    """A worker has really spoken a moment ago, and new connections are let in."""
    parts = parts_of(request)
    if parts.guard.draining or not parts.pool.healthy:
        state = "draining" if parts.guard.draining else "not ready"
        return Json({"status": state}, status_code=503, headers={"retry-after": str(RETRY_AFTER_S)})
    return Json({"status": "ready"})


async def health(request: Request) -> Response:
    """What the earlier server's clients ask for."""
    parts = parts_of(request)
    return Json(
        {
            "status": "healthy" if parts.pool.healthy else "unhealthy",
            "model_loaded": any(worker.state == "ready" for worker in parts.pool.workers),
            "timestamp": time.time(),
        }
    )


async def queue_stats(request: Request) -> Response:
    """Work in hand, and the memory pressure of each device."""
    parts = parts_of(request)
    check_key(request)
    now = status(parts)
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


async def gpu_status(request: Request) -> Response:
    """The devices; without a GPU, the CPU."""
    parts = parts_of(request)
    check_key(request)
    devices = status(parts)["devices"]
    return Json(
        {
            "gpu_mode": parts.settings.gpu_mode,
            "gpu_count": sum(device["id"].startswith("gpu:") for device in devices),
            "devices": devices,
        }
    )


async def metrics(request: Request) -> Response:
    """For Prometheus."""
    parts = parts_of(request)
    check_key(request)
    return Response(
        parts.metrics.exposition(_gauges(parts)), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


def check_key(connection: HTTPConnection) -> None:
    """Raises Unauthorized unless the request carries a key, where one is needed."""
    parts_of(connection).guard.check_key(key_of(connection))


def _gauges(parts: Parts) -> Iterator[tuple[str, float, int]]:
    for worker in parts.pool.workers:
        yield worker.device.id, worker.gauge.pressure, worker.restarts


async def measure_lag(parts: Parts) -> None:
    """Watch how late the event loop runs a timer."""
    while True:
        due = time.monotonic() + LAG_EVERY_S
        await anyio.sleep(LAG_EVERY_S)
        parts.metrics.loop_lag.observe(max(0.0, time.monotonic() - due))
