"""Websocket connections."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

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


@pytest.mark.parametrize("leaves", [True, False], ids=["the client leaves", "the server fails"])
async def test_only_errors_of_sending_mean_that_the_client_left(leaves: bool) -> None:
    events: list[str] = []

    async def send(event: Any) -> None:
        events.append(event["type"])
        if leaves:
            raise ConnectionResetError

    connection = Connection(anyio.sleep_forever, send)

    async def talk() -> None:
        await connection.send("hello")
        raise OSError("the disk is full")

    with capture_logs() as logged:
        await connection.serve(talk)
    if leaves:
        assert (events, logged) == (["websocket.send"], [])
    else:
        assert events == ["websocket.send", "websocket.close"]
        assert logged[0]["event"] == "connection failed"


async def test_a_client_that_leaves_before_it_is_accepted_is_not_served() -> None:
    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        raise ConnectionResetError

    assert not await Connection(receive, send).accept()
