"""HTTP answers to handshakes."""

from __future__ import annotations

from typing import Any

import pytest

from streaming_server.web.websocket.answer import answer_handshake

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("extensions", "types"),
    [
        (
            {"websocket.http.response": {}},
            ["websocket.http.response.start", "websocket.http.response.body"],
        ),
        ({}, ["websocket.close"]),
        (None, ["websocket.close"]),
    ],
)
async def test_servers_without_the_extension_close_the_handshake(extensions: Any, types: list[str]) -> None:
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    await answer_handshake({"extensions": extensions}, send, 503, {"error": "full"}, [("Retry-After", "2")])
    assert [event["type"] for event in sent] == types
