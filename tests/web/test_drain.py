"""Draining an application that is a guest in a process with other work to do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
import uvicorn
from helpers.servers import free_port
from helpers.talk import talking
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streaming_server.settings import Settings
from streaming_server.web.app import create_app
from streaming_server.web.drain import Drain
from streaming_server.web.services import services_of

pytestmark = pytest.mark.anyio

TEXT = "Let me finish, said the fox, as there is more to say than this."


@asynccontextmanager
async def hosted(app: Starlette) -> AsyncIterator[str]:
    """Run the application in a server of this process; yield its host and port once it is ready."""
    port = free_port()
    host = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    async with anyio.create_task_group() as group:
        group.start_soon(host.serve)
        async with httpx.AsyncClient() as client:
            with anyio.fail_after(30):
                while not await is_ready(client, port):
                    await anyio.sleep(0.02)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            host.should_exit = True


async def is_ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def app(tmp_path: Path) -> Starlette:
    return create_app(Settings(engine="espeak", data_dir=tmp_path, max_workers=1))


def drain_of(app: Starlette) -> Drain:
    services = services_of(app)
    assert services is not None
    return services.drain


async def close_code(socket: ClientConnection) -> int:
    """Read until the server closes the websocket; return its code."""
    with anyio.fail_after(10), pytest.raises(ConnectionClosed) as closed:
        while True:
            await socket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_idle_websockets_leave_at_once_and_others_after_their_last_context(app: Starlette) -> None:
    async with hosted(app) as at, anyio.create_task_group() as group:
        async with (
            talking(f"ws://{at}") as idle,
            connect(f"ws://{at}/ws/status", proxy=None) as watcher,
            talking(f"ws://{at}") as busy,
        ):
            whole = (await busy.speak(TEXT, "before", max_lead_ms=60_000))["metrics"]["audio_ms"]
            for name in ("first", "second"):
                await busy.send("start", context=name, max_lead_ms=60_000)
                await busy.until("started", context=name)
            asked = time.monotonic()
            group.start_soon(drain_of(app).run, 30.0)
            assert await close_code(idle.socket) == 1012
            assert await close_code(watcher) == 1012
            assert time.monotonic() - asked < 10  # Of the 30 s that the other's contexts have.
            async with httpx.AsyncClient(base_url=f"http://{at}") as client:
                assert (await client.get("/readyz")).json() == {"status": "draining"}
                assert (await client.get("/livez")).status_code == 200
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{at}/ws/speak", proxy=None)
            assert refused.value.response.status_code == 503
            for name in ("first", "second"):
                await busy.send("text", context=name, text=TEXT)
                await busy.send("finish", context=name)
                done = await busy.end(name)
                assert (done["type"], done["metrics"]["audio_ms"]) == ("done", whole)
            assert await close_code(busy.socket) == 1012


async def test_a_drain_ends_with_its_last_context(app: Starlette) -> None:
    """However often it is asked for."""
    async with hosted(app) as at, talking(f"ws://{at}") as talk:
        await talk.send("speak", text=TEXT, max_lead_ms=60_000)
        await talk.first_frame()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(drain_of(app).run, 3600.0)
                assert (await talk.end())["type"] == "done"
        assert await close_code(talk.socket) == 1012


async def test_a_drain_has_a_timeout(app: Starlette) -> None:
    async with hosted(app) as at, talking(f"ws://{at}") as talk:
        await talk.send("start")
        await talk.until("started")
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(drain_of(app).run, 0.2)
                assert await close_code(talk.socket) == 1012


async def test_a_cut_ends_a_drain(app: Starlette) -> None:
    async with hosted(app) as at, talking(f"ws://{at}") as talk:
        await talk.send("start")
        await talk.until("started")
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(drain_of(app).run, 3600.0)
                await anyio.wait_all_tasks_blocked()
                drain_of(app).cut()
                assert await close_code(talk.socket) == 1012
