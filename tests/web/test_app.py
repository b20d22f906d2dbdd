"""What holds the parts together."""

from __future__ import annotations

import signal
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streaming_server.errors import TooSlow
from streaming_server.settings import Settings
from streaming_server.web.app import create_app
from streaming_server.web.services import Parts
from streaming_server.web.websocket.connection import Connection

pytestmark = pytest.mark.anyio


async def test_a_part_that_fails_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers and cannot speak is worse than none: nobody would start it again."""
    app = create_app(Settings(data_dir=tmp_path, max_workers=1))
    parts: Parts = app.state.parts

    async def fail() -> None:
        raise RuntimeError("a part")

    monkeypatch.setattr(parts.connections, "watch", fail)
    with anyio.open_signal_receiver(signal.SIGTERM) as signals, anyio.fail_after(20):
        async with app.router.lifespan_context(app):
            async for _ in signals:
                break
    assert parts.refusal is not None


async def test_what_nobody_foresaw_is_told_as_every_error_is(tmp_path: Path) -> None:
    """It was answered outside of what lets a page of another origin read it."""

    async def fail(request: Request) -> Response:
        raise RuntimeError("nobody foresaw this")

    page = "https://app.example"
    app = create_app(Settings(data_dir=tmp_path, max_workers=1, allowed_origins=[page]))
    app.router.routes.append(Route("/fails", fail))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/fails", headers={"Origin": page})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert answer.headers["access-control-allow-origin"] == page
    assert "default-src 'self'" in answer.headers["content-security-policy"]


async def test_news_for_a_client_that_is_being_sent_away_hurt_nobody() -> None:
    """It is still among the open ones while it is told why, and memory runs short just then."""
    told: list[object] = []

    async def receive() -> dict[str, str]:
        raise AssertionError

    async def send(event: object) -> None:
        told.append(connection.listener)

    connection = Connection(receive, send)  # type: ignore[arg-type]

    async def talk() -> None:
        connection.listener = lambda message: connection.tasks.start_soon(anyio.sleep, 0)
        connection.end(TooSlow("It does not read."))

    await connection.serve(talk)
    assert told == [None]
