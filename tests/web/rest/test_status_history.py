"""The history of a real server, over HTTP and on the status channel."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from helpers.rest import to
from helpers.servers import Server, until
from helpers.talk import talking
from websockets.asyncio.client import ClientConnection, connect

pytestmark = pytest.mark.anyio


async def test_speech_and_a_lost_worker_are_in_the_history(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    async with talking(server.ws_url) as talk:
        await talk.speak("Hello there.")
        began = server.get("/status/history")[1]["at"][-1]
        until(lambda: server.get("/status/history")[1]["at"][-1] > began + 1)
        history = server.get("/status/history")[1]
    assert abs(history["started_at"] + history["uptime_s"] - time.time()) < 5
    assert history["events"] == [{"at": 0.0, "event": "server_started"}]
    [fastest] = [time_ms for time_ms in history["first_audio_ms"]["p50"] if time_ms is not None]
    assert 0 < fastest < 2000
    assert max(history["connections"]) == 1
    assert set(history["contexts"]) == {0.0, 1.0}
    memory = history["devices"]["cpu_0"]
    assert 0 < memory["pressure"][-1] < 1
    assert memory["model"][-1] is memory["slots"][-1] is None
    os.kill(server.workers()[0]["pid"], signal.SIGKILL)
    until(lambda: len(server.get("/status/history")[1]["events"]) == 3)
    lost, back = server.get("/status/history?minutes=60")[1]["events"][1:]
    assert (lost["event"], lost["device"]) == ("worker_lost", "cpu_0")
    assert (back["event"], back["device"]) == ("worker_ready", "cpu_0")
    assert history["uptime_s"] <= lost["at"] < back["at"]


@pytest.mark.parametrize(
    ("query", "field"), [("minutes=0", "minutes"), ("minutes=61", "minutes"), ("since=soon", "since")]
)
def test_a_wrong_query_is_refused(server: Server, query: str, field: str) -> None:
    with to(server) as client:
        answer = client.get(f"/status/history?{query}")
    assert answer.status_code == 422
    assert field in answer.json()["error"]["message"]


async def test_a_watcher_that_asks_too_often_is_answered_at_a_limited_rate(server: Server) -> None:
    async with connect(f"{server.ws_url}/ws/status", proxy=None) as channel:
        began = time.monotonic()
        for _ in range(15):
            await channel.send(json.dumps({"type": "history", "minutes": 1}))
        for _ in range(15):
            await history_from(channel)
    assert time.monotonic() - began > 0.9  # Ten at once, then five a second.


async def test_a_watcher_asks_for_the_history_and_then_for_what_is_new(server: Server) -> None:
    async with connect(f"{server.ws_url}/ws/status", proxy=None) as channel:
        await channel.send(json.dumps({"type": "history", "minutes": 15}))
        whole = await history_from(channel)
        assert whole["step_s"] == 1
        assert whole["events"][0]["event"] == "server_started"
        while True:
            await channel.send(json.dumps({"type": "history", "minutes": 15, "since": whole["at"][-1]}))
            more = await history_from(channel)
            if more["at"]:
                break
            await anyio.sleep(0.1)  # Its rate of messages is limited.
        assert whole["at"][-1] < more["at"][0] < whole["at"][-1] + 5
        assert more["events"] == []
        assert more["started_at"] == whole["started_at"]


async def test_a_watcher_that_says_something_else_is_sent_the_state_all_the_same(server: Server) -> None:
    async with connect(f"{server.ws_url}/ws/status", proxy=None) as channel:
        for message in (
            "hello",
            b"\x00",
            "[]",
            "{}",
            '{"type": "auth", "key": "none"}',
            '{"type": ["history"]}',
        ):
            await channel.send(message)
        await channel.send(json.dumps({"type": "history", "minutes": 600}))
        refused = await next_but_status(channel)
        assert refused["code"] == "bad_value"
        assert "minutes" in refused["message"]
        await channel.send(json.dumps({"type": "history", "minutes": 60}))
        assert (await history_from(channel))["step_s"] == 10


async def history_from(channel: ClientConnection) -> dict[str, Any]:
    message = await next_but_status(channel)
    assert message["type"] == "history"
    return message


async def next_but_status(channel: ClientConnection) -> dict[str, Any]:
    """Return the next message that was asked for."""
    with anyio.fail_after(20):
        while True:
            message: dict[str, Any] = json.loads(await channel.recv())
            if message["type"] not in ("status", "worker", "memory_pressure"):
                return message
