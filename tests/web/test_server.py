"""The server in operation: health, crashes, draining, clients that do not read."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil
import pytest
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from helpers.servers import Server, established, is_alive, until
from helpers.stalled import stalled_client
from helpers.talk import talking
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]

LONG = "The quick brown fox jumps over the lazy dog near the river bank. " * 40


def test_health_reports_the_workers(server: Server) -> None:
    assert server.get("/livez") == (200, {"status": "ok"})
    assert server.get("/readyz") == (200, {"status": "ready"})
    status, health = server.get("/health")
    assert (status, health["status"], health["model_loaded"]) == (200, "healthy", True)
    assert abs(health["timestamp"] - time.time()) < 5


def test_devices_are_listed_with_their_memory(server: Server) -> None:
    until(lambda: all(worker["state"] == "ready" for worker in server.workers()))
    _, status = server.get("/gpu/status")
    assert status["gpu_count"] == 0
    for index, device in enumerate(status["devices"]):
        assert device["id"] == f"cpu_{index}"
        assert device["worker"]["state"] == "ready"
        assert psutil.pid_exists(device["worker"]["pid"])
        memory = device["memory"]
        assert memory["total"] == psutil.virtual_memory().total
        assert memory["pressure"] == pytest.approx(memory["used"] / memory["total"], abs=1e-3)
        assert memory["level"] in ("normal", "high", "critical")


def test_queue_stats_count_workers_and_pressure(server: Server) -> None:
    _, stats = server.get("/queue/stats")
    assert stats["total_workers"] == stats["active_workers"] == len(stats["memory_pressure"])
    assert stats["memory_pressure"]["cpu_0"]["status"] in ("normal", "high", "critical")


def metric(server: Server, name: str) -> float:
    """Return a metric without labels, 0 if it has no value yet."""
    found = re.search(rf"^{name} (\S+)$", server.get("/metrics")[1], re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def test_metrics_count_speech_over_http(server: Server) -> None:
    audio = metric(server, "dia_audio_seconds_total")
    body = {"input": "Hello there.", "response_format": "pcm"}
    answer = httpx.post(f"{server.url}/v1/audio/speech", json=body, timeout=30)
    seconds = len(answer.content) / 2 / 24000
    assert seconds > 0.3
    assert metric(server, "dia_audio_seconds_total") - audio >= 0.99 * seconds


async def test_metrics_count_speech(server: Server) -> None:
    before = metric(server, "dia_first_audio_seconds_count")
    audio = metric(server, "dia_audio_seconds_total")
    async with talking(server.ws_url) as talk:
        assert metric(server, "dia_connections") >= 1
        done = await talk.speak("Hello there.")
    assert metric(server, "dia_first_audio_seconds_count") > before  # Another may have been about to end.
    assert metric(server, "dia_audio_seconds_total") - audio >= 0.999 * done["metrics"]["audio_ms"] / 1000
    page = server.get("/metrics")[1]
    for name in ("dia_step_seconds_count", "dia_event_loop_lag_seconds_count"):
        assert re.search(rf"^{name} ", page, re.MULTILINE), name
    for name in ("dia_memory_pressure", "dia_worker_restarts"):
        assert f'{name}{{device="cpu_0"}}' in page


async def test_metrics_status_and_logs_name_the_node(start_server: Callable[..., Server]) -> None:
    """Everything scales by contexts and slots."""

    def gauges() -> dict[str, float]:
        return {
            name: float(value)
            for name, value in re.findall(
                r'^(dia_contexts|dia_slots){node="north-1"} (\S+)$', server.get("/metrics")[1], re.MULTILINE
            )
        }

    server = start_server("--max-workers=1", "--node=north-1")
    [worker] = server.workers()
    assert gauges() == {"dia_contexts": 0, "dia_slots": worker["slots"]}
    async with (
        talking(server.ws_url) as talk,
        connect(f"{server.ws_url}/ws/status", proxy=None) as channel,
    ):
        await talk.send("start")
        await talk.until("started")
        assert gauges() == {"dia_contexts": 1, "dia_slots": worker["slots"]}
        assert (await next_of(channel, "status"))["node"] == "north-1"
    assert {json.loads(line)["node"] for line in server.logged().splitlines()} == {"north-1"}


def test_probes_answer_any_host(server: Server) -> None:
    """The probe of a gateway has a Host of its own."""
    foreign = {"Host": "speech.example", "Origin": "https://speech.example"}
    assert server.get("/livez", **foreign)[0] == 200
    assert server.get("/readyz", **foreign)[0] == 200
    assert server.get("/health", **foreign)[0] == 403


async def test_the_status_channel_sends_the_state_each_second_and_changes_at_once(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--max-workers=2")
    async with connect(f"{server.ws_url}/ws/status", proxy=None) as channel:
        first = await next_of(channel, "status")
        assert {device["id"] for device in first["devices"]} == {"cpu_0", "cpu_1"}
        assert {"contexts", "connections", "first_audio_ms", "uptime_s"} <= first.keys()
        second = await next_of(channel, "status")
        assert 0.5 < second["uptime_s"] - first["uptime_s"] < 5
        os.kill(first["devices"][0]["worker"]["pid"], signal.SIGKILL)
        change = await next_of(channel, "worker")
        assert (change["device"], change["state"]) == ("cpu_0", "restarting")
        after = await next_of(channel, "status")
        assert after["uptime_s"] - second["uptime_s"] < 5


async def test_the_state_is_serialized_once_for_all_watchers(server: Server) -> None:
    async def watch(task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        async with connect(f"{server.ws_url}/ws/status", proxy=None) as channel:
            states: list[bytes | str] = [await channel.recv()]
            task_status.started()
            seen.append(states)
            while len(states) < 4:
                states.append(await channel.recv())

    seen: list[list[bytes | str]] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                await group.start(watch)
                await anyio.sleep(0.15)  # With separate timers, no two would receive the same state.
    assert len({state for states in seen for state in states}) <= 6


async def test_the_status_continues_when_the_first_watcher_leaves(server: Server) -> None:
    url = f"{server.ws_url}/ws/status"
    async with connect(url, proxy=None) as first:
        await next_of(first, "status")
        async with connect(url, proxy=None) as second:
            before = await next_of(second, "status")
            await first.close()
            while (after := await next_of(second, "status"))["uptime_s"] < before["uptime_s"] + 2:
                pass
    await anyio.sleep(1.5)  # There is no watcher; the next one still gets a fresh state.
    async with connect(url, proxy=None) as third:
        assert (await next_of(third, "status"))["uptime_s"] > after["uptime_s"] + 1


async def next_of(channel: ClientConnection, type_: str) -> dict[str, Any]:
    with anyio.fail_after(20):
        while True:
            message: dict[str, Any] = json.loads(await channel.recv())
            if message["type"] == type_:
                return message


async def test_readiness_follows_the_workers_within_two_seconds(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    (worker,) = server.workers()
    os.kill(worker["pid"], signal.SIGKILL)
    until(lambda: server.get("/readyz")[0] == 503, timeout_s=4)  # A worker that is silent takes five.
    assert server.get("/livez")[0] == 200
    until(server.ready, timeout_s=30)


async def test_a_killed_worker_fails_only_what_it_spoke(
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
    until(lambda: not any(is_alive(child) for child in children))


def test_sigterm_stops_an_idle_server_at_once(start_server: Callable[..., Server]) -> None:
    server = start_server(forked=False)
    children = server.children()
    asked = time.monotonic()
    server.process.terminate()
    assert server.process.wait(20) == 0
    assert time.monotonic() - asked < 10  # Of the 30 s that open contexts would get.
    assert not any(is_alive(child) for child in children)


async def test_draining_finishes_open_contexts_and_admits_none(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--max-workers=1", forked=False)
    async with talking(server.ws_url) as talk:
        whole = await talk.speak(LONG[:130], "before", max_lead_ms=600_000)
        await talk.send("speak", context="admitted", text=LONG[:130], max_lead_ms=6000)
        await talk.send("start", context="open")
        await talk.until("started", context="open")
        server.process.terminate()
        until(lambda: refuses_connections(server))
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
    assert server.process.wait(20) == 0


def refuses_connections(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_a_second_signal_ends_at_once(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    async with talking(server.ws_url) as talk:
        await talk.send("speak", text=LONG, max_lead_ms=500)
        await talk.first_frame()
        server.process.terminate()
        until(lambda: "draining" in server.logged())
        asked = time.monotonic()
        server.process.terminate()
        server.process.wait(20)
        assert time.monotonic() - asked < 10  # Of the 30 s the speech would get.
    assert "Traceback" not in server.logged()
    assert "failed" not in server.logged()


async def test_draining_has_a_timeout(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--drain-timeout-s=0.5")
    async with talking(server.ws_url) as talk:
        await talk.send("start")
        await talk.until("started")
        asked = time.monotonic()
        server.process.terminate()
        server.process.wait(20)
        assert time.monotonic() - asked < 15  # Of the 30 s it would get unless told otherwise.


@pytest.mark.slow
async def test_a_client_that_does_not_read_is_disconnected(start_server: Callable[..., Server]) -> None:
    """Its contexts end soon, its socket a little later, and it never takes much memory."""
    server = start_server("--max-workers=1", "--send-timeout-s=1", "--max-lead-ms=600000")
    memory = psutil.Process(server.process.pid).memory_info().rss
    stalled = [stalled_client(server) for _ in range(10)]
    until(lambda: server.get("/queue/stats")[1]["connections"] == 10)
    until(lambda: server.get("/queue/stats")[1]["connections"] == 0, timeout_s=20)
    grown = psutil.Process(server.process.pid).memory_info().rss - memory
    assert grown < 10 * 1_000_000 + 25_000_000
    until(lambda: established(server) == 0, timeout_s=25)
    for one in stalled:
        one.close()
    async with talking(server.ws_url) as talk:
        assert (await talk.speak("Still here."))["type"] == "done"


async def test_five_hundred_connects_are_all_answered(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    answered = 0

    async def one() -> None:
        nonlocal answered
        async with talking(server.ws_url, open_timeout=30):
            answered += 1

    async with anyio.create_task_group() as group:
        for _ in range(500):
            group.start_soon(one)
    assert answered == 500
    until(lambda: server.get("/queue/stats")[1]["connections"] == 0)


@pytest.mark.slow
async def test_a_frozen_client_is_disconnected(start_server: Callable[..., Server]) -> None:
    """Its kernel still accepts data, but it answers no ping."""
    server = start_server("--max-workers=1", "--ping-s=1")
    client = await anyio.open_process([sys.executable, "-c", IDLE_CLIENT, server.ws_url])
    assert client.stdout is not None
    async with client:
        assert await client.stdout.receive()
        assert server.get("/queue/stats")[1]["contexts"] == 1
        client.send_signal(signal.SIGSTOP)
        until(lambda: server.get("/queue/stats")[1]["connections"] == 0)
        assert server.get("/queue/stats")[1]["contexts"] == 0
        assert established(server) == 0
        client.kill()


IDLE_CLIENT = """
import json, sys
from websockets.sync.client import connect

with connect(sys.argv[1] + "/ws/speak", proxy=None) as socket:
    socket.send('{"type":"start"}')
    while json.loads(socket.recv())["type"] != "started":
        pass
    print("started", flush=True)
    socket.recv()
"""


@pytest.mark.slow
@pytest.mark.parametrize("speaks", [False, True])
async def test_a_client_that_vanishes_is_disconnected(
    start_server: Callable[..., Server], speaks: bool
) -> None:
    """Its packets are dropped, as if a cable were pulled."""
    server = start_server("--max-workers=1", "--ping-s=1", "--send-timeout-s=60", "--max-lead-ms=600000")
    with vanishing_address() as (address, vanish):
        async with talking(server.ws_url, local_addr=(address, 0), ping_interval=None) as talk:
            if speaks:
                await talk.send("speak", text=LONG)
                await talk.first_frame()
            else:
                await talk.send("start")
                await talk.until("started")
            vanish()
            until(lambda: server.get("/queue/stats")[1]["connections"] == 0, timeout_s=20)
            assert server.get("/queue/stats")[1]["contexts"] == 0
            until(lambda: sockets_to(server, address) == 0, timeout_s=20)
            talk.socket.transport.abort()


@contextmanager
def vanishing_address() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield a loopback address and a function that drops every packet to it."""
    address = f"127.77.{random.randrange(256)}.{random.randrange(1, 255)}"
    route = ["blackhole", f"{address}/32", "table", "local"]
    if (
        shutil.which("ip") is None
        or subprocess.run(["ip", "route", "add", *route], capture_output=True).returncode
    ):
        pytest.skip("needs iproute2 and the right to set routes")
    subprocess.run(["ip", "route", "del", *route], check=True)
    with ExitStack() as stack:

        def vanish() -> None:
            subprocess.run(["ip", "route", "add", *route], check=True)
            stack.callback(subprocess.run, ["ip", "route", "del", *route], check=True)

        yield address, vanish


def sockets_to(server: Server, address: str) -> int:
    connections = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.ip == address for one in connections)


class Memory:
    """The memory of the machine as Python processes started with its variables see it."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "meminfo"
        self.variables = {"PYTHONPATH": str(directory), "OTHER_MEMORY": str(self._file)}
        (directory / "sitecustomize.py").write_text(OTHER_MEMORY)
        self.leave(0.5)

    def leave(self, share: float) -> None:
        """Make this share of it available."""
        self._file.write_text(f"MemTotal: 8000000 kB\nMemAvailable: {int(8000000 * share)} kB\n")


async def test_without_memory_new_connections_are_refused(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    memory = Memory(tmp_path)
    server = start_server("--max-workers=1", **memory.variables)
    if "no right to mount" in server.logged():
        pytest.skip("needs the right to mount")
    async with (
        talking(server.ws_url) as talk,
        connect(f"{server.ws_url}/ws/status", proxy=None) as channel,
    ):
        memory.leave(0.01)
        assert (await talk.until("memory_pressure", level="critical"))["pressure"] == pytest.approx(0.99)
        assert (await next_of(channel, "memory_pressure"))["level"] == "critical"
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{server.ws_url}/ws/speak", proxy=None)
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["Retry-After"]
        memory.leave(0.5)
        await talk.until("memory_pressure", level="normal")
    async with talking(server.ws_url) as talk:
        assert (await talk.speak("Room again."))["type"] == "done"


OTHER_MEMORY = """
import ctypes, os, sys

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)
source = os.environ.pop("OTHER_MEMORY", "")
if source and (
    libc.unshare(CLONE_NEWNS)
    or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    or libc.mount(source.encode(), b"/proc/meminfo", None, MS_BIND, None)
):
    print("no right to mount", file=sys.stderr)
"""


@pytest.mark.parametrize(("hard", "warned"), [(4096, False), (1000, True)])
def test_the_limit_of_open_files_is_raised(
    start_server: Callable[..., Server], hard: int, warned: bool
) -> None:
    server = start_server("--max-workers=1")
    process = psutil.Process(server.process.pid)
    soft, most = process.rlimit(psutil.RLIMIT_NOFILE)
    assert soft == most
    limited = subprocess.run(
        [sys.executable, "-c", LIMITED, str(hard)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        cwd=ROOT,
    )
    assert ("limit of open files too low" in limited.stdout + limited.stderr) == warned


LIMITED = """
import resource, sys
from streaming_server.web.server import allow_files

hard = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
allow_files(2000)
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
"""


async def test_stalled_playback_ends_a_context(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--max-workers=1", "--stall-timeout-s=1")
    async with talking(server.ws_url) as talk:
        await talk.send("speak", text=LONG, max_lead_ms=1000)
        await talk.first_frame()
        await talk.send("played", samples=1)
        assert (await talk.end())["code"] == "too_slow"
        assert (await talk.speak("And the next.", "next"))["type"] == "done"
    until(lambda: all(worker["active"] == 0 for worker in server.workers()))


async def test_slow_playback_keeps_a_context(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--stall-timeout-s=1")
    async with talking(server.ws_url) as talk:
        await talk.send("speak", text=LONG[:260], max_lead_ms=1000)
        samples = 1
        with anyio.fail_after(30):
            while not talk.of("done"):
                await talk.send("played", samples=samples)
                await talk.send("ping")
                await talk.until("pong")
                await anyio.sleep(0.3)  # The pace of the playback that is reported.
                samples += 22050
        assert not talk.of("error")


def test_text_logs_are_readable(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1", "--log-format=text")
    [line] = [line for line in server.until_logged("listening").splitlines() if "listening" in line]
    assert re.match(r"\d\d:\d\d:\d\d INFO     listening ", line)
    assert f"url=http://127.0.0.1:{server.port}" in line
