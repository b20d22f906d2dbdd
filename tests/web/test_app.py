"""The application: lifespan, unexpected errors and disconnects."""

from __future__ import annotations

import gc
from contextlib import closing
from pathlib import Path

import anyio
import httpx
import psutil
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streaming_server.errors import EngineFailure
from streaming_server.pool.pool import Pool
from streaming_server.settings import Settings
from streaming_server.storage.data_lock import DataLock
from streaming_server.web.app import create_app
from streaming_server.web.websocket.registry import Connections

pytestmark = pytest.mark.anyio


async def test_a_task_that_fails_ends_the_lifespan_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a server that cannot speak would keep answering and not be restarted."""

    async def fail(connections: Connections) -> None:
        raise RuntimeError("a task")

    reasons: list[str] = []
    monkeypatch.setattr(Connections, "watch", fail)
    app = create_app(Settings(engine="espeak", data_dir=tmp_path, max_workers=1), on_failure=reasons.append)
    with anyio.fail_after(20), pytest.raises(ExceptionGroup):
        async with app.router.lifespan_context(app):
            await anyio.sleep_forever()
    assert reasons == ["A part of the server failed; see the log."]


async def test_a_data_directory_in_use_fails_the_start(tmp_path: Path) -> None:
    reasons: list[str] = []
    app = create_app(Settings(engine="espeak", data_dir=tmp_path, max_workers=1), on_failure=reasons.append)
    with closing(DataLock(tmp_path)), pytest.raises(EngineFailure):
        async with app.router.lifespan_context(app):
            pytest.fail("started")
    assert reasons == [f"Another server uses the data directory {tmp_path}; choose another with --data-dir."]


def test_repeated_starts_and_stops_leak_nothing(tmp_path: Path) -> None:
    app = create_app(Settings(engine="espeak", data_dir=tmp_path, max_workers=1))
    process = psutil.Process()
    before = resources(process)
    children = len(process.children())

    async def speak() -> bytes:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
                with anyio.fail_after(20):
                    while (await client.get("/readyz")).status_code != 200:
                        await anyio.sleep(0.01)
                answer = await client.post("/generate", json={"text": "Hello there.", "voice_id": "aria"})
                job = await client.post(
                    "/generate?async_mode=true", json={"text": "Hello there.", "voice_id": "aria"}
                )
            assert len(process.children()) > children
        assert (answer.status_code, job.status_code) == (200, 200), answer.text
        assert len(process.children()) == children
        return answer.content

    spoken = [anyio.run(speak) for _ in range(3)]
    gc.collect()
    assert resources(process) == before
    assert len(set(spoken)) == 1
    assert len(spoken[0]) > 1000


def resources(process: psutil.Process) -> tuple[int, int, int]:
    """Count the open files, the threads and the children of the process."""
    return process.num_fds(), process.num_threads(), len(process.children())


async def test_an_unexpected_error_is_a_500_with_all_headers(tmp_path: Path) -> None:
    """The response used to bypass the CORS middleware."""

    async def fail(request: Request) -> Response:
        raise RuntimeError("nobody foresaw this")

    page = "https://app.example"
    app = create_app(Settings(engine="espeak", data_dir=tmp_path, max_workers=1, allowed_origins=[page]))
    app.router.routes.append(Route("/fails", fail))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/fails", headers={"Origin": page})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert answer.headers["access-control-allow-origin"] == page
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/models", "/preview/aria"])
async def test_routes_that_need_the_engine_do_not_wait_for_it_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(Pool, "info", None)
    app = create_app(Settings(engine="espeak", data_dir=tmp_path, max_workers=1))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            with anyio.fail_after(20):
                answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "full")
    assert "still loading" in answer.json()["detail"]
    assert "retry-after" in answer.headers
