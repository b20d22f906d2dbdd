"""The open websockets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import anyio
import pytest

from streaming_server.metrics import Metrics
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.registry import Connections

pytestmark = pytest.mark.anyio

Hold = Callable[[Connections, Connection], AbstractContextManager[None]]


async def receive() -> Any:
    await anyio.sleep_forever()


async def send(event: Any) -> None:
    return


async def test_every_waiter_is_woken_when_the_last_connection_closes() -> None:
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
