"""The open websockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import anyio
import pytest

from streaming_server.metrics import Metrics
from streaming_server.web.websocket.connection import BUFFERED, Connection
from streaming_server.web.websocket.lead import Lead
from streaming_server.web.websocket.registry import Connections

pytestmark = pytest.mark.anyio

Hold = Callable[[Connections, Connection], AbstractContextManager[None]]


async def receive() -> Any:
    await anyio.sleep_forever()


async def send(event: Any) -> None:
    return


async def test_all_who_wait_learn_that_the_last_has_left() -> None:
    """Two stops of a server may wait at the same time."""
    connections = Connections(5.0, Metrics("here"))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            with (
                connections.holding(Connection(receive, send)),
                connections.holding_watcher(Connection(receive, send)),
            ):
                group.start_soon(connections.all_left)
                group.start_soon(connections.all_left)
                await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize(
    "hold", [Connections.holding, Connections.holding_watcher], ids=["speaking", "watching"]
)
async def test_a_client_that_does_not_read_is_ended(hold: Hold) -> None:
    connections = Connections(0.1, Metrics("test"))
    closed: list[Any] = []

    async def send_nothing(event: Any) -> None:
        if event["type"] != "websocket.close":
            await anyio.sleep_forever()
        closed.append(event["code"])

    connection = Connection(receive, send_nothing)
    async with anyio.create_task_group() as group:
        group.start_soon(connections.watch)
        with anyio.fail_after(10), hold(connections, connection):
            await connection.serve(lambda: connection.send("unread"))
        group.cancel_scope.cancel()
    assert closed == [1008]


@pytest.mark.parametrize("reads", [True, False])
async def test_a_client_may_play_what_it_has_before_it_reads_on(reads: bool) -> None:
    """But one that has taken no more than buffers hold may be one that never reads."""
    connections = Connections(0.5, Metrics("test"))

    async def send(event: Any) -> None:
        if event["type"] != "websocket.close" and "bytes" not in event:
            await anyio.sleep_forever()

    async def talk() -> None:
        await connection.send(bytes(BUFFERED + 1 if reads else BUFFERED))
        await connection.send("unread")

    connection, lead = Connection(receive, send), Lead()
    connection.lead_s = lead.left_s
    lead.sent(5, time.monotonic())
    async with anyio.create_task_group() as group:
        group.start_soon(connections.watch)
        began = time.monotonic()
        with anyio.fail_after(20), connections.holding(connection):
            await connection.serve(talk)
        group.cancel_scope.cancel()
    assert (time.monotonic() - began >= 5.3) is reads
