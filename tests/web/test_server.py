"""The server as an operator meets it: health, deaths, draining, clients that do not read."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import anyio
import psutil
import pytest
from servers import Server, until
from talk import talking
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.anyio

LONG = "The quick brown fox jumps over the lazy dog near the river bank. " * 40


def test_health_says_what_is_so(server: Server) -> None:
    assert server.get("/livez") == (200, {"status": "ok"})
    assert server.get("/readyz") == (200, {"status": "ready"})
    status, health = server.get("/health")
    assert (status, health["status"], health["model_loaded"]) == (200, "healthy", True)
    assert abs(health["timestamp"] - time.time()) < 5


def test_devices_are_listed_with_their_memory(server: Server) -> None:
    _, status = server.get("/gpu/status")
    assert status["gpu_count"] == 0
    for index, device in enumerate(status["devices"]):
        assert device["id"] == f"cpu:{index}"
        assert device["worker"]["state"] == "ready"
        assert psutil.pid_exists(device["worker"]["pid"])
        memory = device["memory"]
        assert memory["total"] == psutil.virtual_memory().total
        assert memory["pressure"] == pytest.approx(memory["used"] / memory["total"], abs=1e-3)
        assert memory["level"] in ("normal", "high", "critical")


def test_queue_stats_count_workers_and_pressure(server: Server) -> None:
    _, stats = server.get("/queue/stats")
    assert stats["total_workers"] == stats["active_workers"] == len(stats["memory_pressure"])
    assert stats["memory_pressure"]["cpu:0"]["status"] in ("normal", "high", "critical")


async def test_metrics_count_what_was_spoken(server: Server) -> None:
    def value(name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", server.get("/metrics")[1], re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    before, audio = value("dia_first_audio_seconds_count"), value("dia_audio_seconds_total")
    async with talking(server.ws_url) as talk:
        assert value("dia_connections") >= 1
        done = await talk.speak("Hello there.")
    assert value("dia_first_audio_seconds_count") == before + 1
    assert value("dia_audio_seconds_total") - audio == pytest.approx(
        done["metrics"]["audio_ms"] / 1000, rel=1e-3
    )
    page = server.get("/metrics")[1]
    for name in ("dia_contexts", "dia_step_seconds_count", "dia_event_loop_lag_seconds_count"):
        assert re.search(rf"^{name} ", page, re.MULTILINE), name
    for name in ("dia_memory_pressure", "dia_worker_restarts"):
        assert f'{name}{{device="cpu:0"}}' in page


async def test_the_status_channel_tells_the_state_every_second_and_changes_at_once(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--max-workers=2")
    async with connect(f"{server.ws_url}/ws/status", proxy=None) as channel:
        first = await next_of(channel, "status")
        assert {device["id"] for device in first["devices"]} == {"cpu:0", "cpu:1"}
        assert {"contexts", "connections", "first_audio_ms", "uptime_s"} <= first.keys()
        second = await next_of(channel, "status")
        assert 0.5 < second["uptime_s"] - first["uptime_s"] < 1.6
        os.kill(first["devices"][0]["worker"]["pid"], signal.SIGKILL)
        killed = time.monotonic()
        change = await next_of(channel, "worker")
        assert (change["device"], change["state"]) == ("cpu:0", "restarting")
        assert time.monotonic() - killed < 0.5


async def next_of(channel: ClientConnection, type_: str) -> dict[str, Any]:
    with anyio.fail_after(5):
        while True:
            message: dict[str, Any] = json.loads(await channel.recv())
            if message["type"] == type_:
                return message


async def test_readiness_follows_the_workers_within_two_seconds(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    (worker,) = server.workers()
    os.kill(worker["pid"], signal.SIGKILL)
    until(lambda: server.get("/readyz")[0] == 503, timeout_s=2)
    assert server.get("/livez")[0] == 200
    until(server.ready, timeout_s=5)


async def test_a_killed_worker_is_an_error_for_what_it_spoke_and_nothing_for_the_rest(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--max-workers=2")
    until(lambda: all(worker["state"] == "ready" for worker in server.workers()))
    names = [f"c{n}" for n in range(6)]
    async with talking(server.ws_url) as talk:
        whole = await talk.speak(LONG, "whole", max_lead_ms=600_000)
        victim = server.workers()[0]["pid"]
        for name in names:
            await talk.send("speak", context=name, text=LONG, max_lead_ms=600_000)
        await talk.first_frame()
        os.kill(victim, signal.SIGKILL)
        ends: dict[str, dict[str, Any]] = {}
        while len(ends) < len(names):
            end = await talk.until(lambda event: event["type"] in ("done", "error"))
            ends[end["context"]] = end
        for name, end in ends.items():
            if end["type"] == "done":
                assert len(talk.audio(name)) == len(talk.audio("whole"))
                assert end["metrics"]["audio_ms"] == whole["metrics"]["audio_ms"]
            else:
                assert (end["code"], end["retryable"]) == ("worker_lost", True)
        assert sum(end["type"] == "done" for end in ends.values()) >= 3


def test_no_child_outlives_a_killed_server(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=2")
    children = server.children()
    assert len(children) >= 2
    server.process.kill()
    until(lambda: not any(child.is_running() for child in children), timeout_s=5)


def test_sigterm_stops_an_idle_server_at_once(start_server: Callable[..., Server]) -> None:
    server = start_server()
    children = server.children()
    asked = time.monotonic()
    server.process.terminate()
    assert server.process.wait(5) == 0
    assert time.monotonic() - asked < 3
    assert not any(child.is_running() for child in children)


async def test_draining_finishes_what_was_admitted_and_admits_nothing(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--max-workers=1")
    async with talking(server.ws_url) as talk:
        whole = await talk.speak(LONG[:130], "before", max_lead_ms=600_000)
        await talk.send("speak", context="admitted", text=LONG[:130], max_lead_ms=6000)
        await talk.send("start", context="open")
        await talk.until("started", context="open")
        server.process.terminate()
        await anyio.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            await connect(f"{server.ws_url}/ws/speak", proxy=None, open_timeout=2)
        await talk.send("start", context="late")
        assert (await talk.until("error"))["code"] == "draining"
        await talk.send("text", context="open", text="Let me finish.")
        await talk.send("finish", context="open")
        ended = {(await talk.until("done"))["context"] for _ in range(2)}
        assert ended == {"admitted", "open"}
        assert talk.of("done", "admitted")[0]["metrics"]["audio_ms"] == whole["metrics"]["audio_ms"]
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await talk.next()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
    assert server.process.wait(5) == 0


async def test_a_second_signal_ends_at_once(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    async with talking(server.ws_url) as talk:
        await talk.send("speak", text=LONG, max_lead_ms=500)
        await talk.first_frame()
        server.process.terminate()
        until(lambda: "draining" in server.logged())
        asked = time.monotonic()
        server.process.terminate()
        server.process.wait(5)
        assert time.monotonic() - asked < 2


async def test_a_drain_has_an_end(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--drain-timeout-s=0.5")
    async with talking(server.ws_url) as talk:
        await talk.send("start")
        await talk.until("started")
        asked = time.monotonic()
        server.process.terminate()
        server.process.wait(8)
        assert time.monotonic() - asked < 5


@pytest.mark.slow
async def test_a_client_that_does_not_read_is_let_go(start_server: Callable[..., Server]) -> None:
    """Its contexts end with it soon, its socket a little later, and it never holds much memory."""
    server = start_server("--max-workers=1", "--send-timeout-s=1", "--max-lead-ms=600000")
    memory = psutil.Process(server.process.pid).memory_info().rss
    stalled = [stalled_client(server) for _ in range(10)]
    until(lambda: server.get("/queue/stats")[1]["connections"] == 10)
    until(lambda: server.get("/queue/stats")[1]["connections"] == 0, timeout_s=10)
    grown = psutil.Process(server.process.pid).memory_info().rss - memory
    assert grown < 10 * 1_000_000 + 25_000_000
    until(lambda: established(server) == 0, timeout_s=25)
    for one in stalled:
        one.close()
    async with talking(server.ws_url) as talk:
        assert (await talk.speak("Still here."))["type"] == "done"


def stalled_client(server: Server) -> socket.socket:
    """A websocket that asks for a long speech and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    client.sendall(
        b"GET /ws/speak HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % server.port
    )
    client.recv(1024)
    message = b'{"type":"speak","text":"' + LONG.encode() + b'"}'
    mask = b"\0\0\0\0"
    client.sendall(b"\x81\xfe" + len(message).to_bytes(2, "big") + mask + message)
    return client


def established(server: Server) -> int:
    connections = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == server.port for one in connections)


async def test_five_hundred_connects_are_all_answered(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    answered = 0

    async def one() -> None:
        nonlocal answered
        async with talking(server.ws_url, open_timeout=10):
            answered += 1

    async with anyio.create_task_group() as group:
        for _ in range(500):
            group.start_soon(one)
    assert answered == 500
    until(lambda: server.get("/queue/stats")[1]["connections"] == 0)
