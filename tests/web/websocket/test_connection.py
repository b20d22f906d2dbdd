"""Websocket connections."""

from __future__ import annotations

from typing import Any

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
