"""Websocket connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from streaming_server.errors import BadMessage
from streaming_server.web.websocket.connection import Connection

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("reason", ["short", 200 * "x", 100 * "ä€😀"])
async def test_a_close_reason_is_truncated_to_fit_the_frame(reason: str) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(event)

    connection = Connection(receive, send)

    async def talk() -> None:
        connection.end(BadMessage(reason))

    await connection.serve(talk)
    [closing] = sent
    assert reason.startswith(closing["reason"])
    assert min(len(reason.encode()), 120) <= len(closing["reason"].encode()) <= 123


async def test_a_connection_that_ends_takes_no_more_news() -> None:
    """A task that the news starts would outlive the connection, and its failure be an error in the log."""
    failures: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))

    async def send(event: Any) -> None:
        raise ConnectionResetError

    connection = Connection(anyio.sleep_forever, send)

    async def talk() -> None:
        connection.on_news = lambda news: connection.tasks.start_soon(connection.send_json, news)

    async with anyio.create_task_group() as group:
        group.start_soon(connection.serve, talk)
        for _ in range(10):
            await asyncio.sleep(0)
            if connection.on_news is not None:
                connection.on_news({})
    assert failures == []
