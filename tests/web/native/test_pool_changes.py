"""What clients of the native websocket are told of devices that are short of memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from helpers.sessions import Client, client_of, speech_services_in

from streaming_server.pool.pool import WATCH_BACKLOG, Pool
from streaming_server.web.native.session import NativeSession

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def native_client(folder: Path) -> AsyncIterator[tuple[Client, Pool]]:
    async with speech_services_in(folder) as services:
        async with client_of(lambda connection: NativeSession(services, connection)) as (client, _):
            await client.until(lambda message: message["type"] == "ready")
            await client.say(type="ping")
            await client.until(lambda message: message["type"] == "pong")
            yield client, services.pool


async def test_a_change_of_pressure_is_sent_and_one_of_a_worker_is_not(tmp_path: Path) -> None:
    async with native_client(tmp_path) as (client, pool):
        pool.on_state(pool.workers[0])
        pool.on_level(pool.workers[0])
        told = await client.until(lambda message: message["type"] in ("worker", "memory_pressure"))
    assert (told["type"], told["device"]) == ("memory_pressure", pool.workers[0].device.id)


async def test_a_client_that_does_not_read_is_kept_a_bounded_number_of_changes(tmp_path: Path) -> None:
    async with native_client(tmp_path) as (client, pool):
        client.reading = anyio.Event()
        for _ in range(10 * WATCH_BACKLOG):
            pool.on_level(pool.workers[0])
            await anyio.lowlevel.checkpoint()
        client.told.clear()
        client.read()
        await client.say(type="ping", id="last")
        await client.until(lambda message: message == {"type": "pong", "id": "last"})
        await anyio.wait_all_tasks_blocked()
    changes = [message for message in client.told if message["type"] == "memory_pressure"]
    assert 1 <= len(changes) <= WATCH_BACKLOG + 1
