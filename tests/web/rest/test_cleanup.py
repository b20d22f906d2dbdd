"""Expired results are deleted; one that cannot be deleted does not affect the others."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import anyio
import httpx
import pytest
from helpers.rest import job_of, say, status_of, to
from helpers.servers import Server, until
from starlette.applications import Starlette

from streaming_server.settings import Settings
from streaming_server.storage.expiry import Expiry
from streaming_server.storage.sqlite import FILE_NAME
from streaming_server.web.app import create_app

OLD = time.time() - 1000 * 3600


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def client(start_server: Callable[..., Server], data: Path) -> Iterator[httpx.Client]:
    with to(start_server("--max-workers=1", f"--data-dir={data}")) as one:
        yield one


def kept(data: Path) -> list[Path]:
    """Create an expired output and an expired preview."""
    [output] = (data / "outputs").iterdir()
    [preview] = (data / "previews").iterdir()
    for file in (output, preview):
        os.utime(file, (OLD, OLD))
    return [output, preview]


def test_expired_results_are_deleted_and_counted(client: httpx.Client, data: Path) -> None:
    say(client)
    client.get("/preview/aria")
    files = kept(data)
    told = client.post("/cleanup").json()
    assert (told["removed"], told["failed"]) == (2, {})
    assert not any(file.exists() for file in files)


def test_failures_are_reported_and_do_not_stop_the_cleanup(client: httpx.Client, data: Path) -> None:
    say(client)
    client.get("/preview/aria")
    _, preview = kept(data)
    (data / "outputs").rename(data / "elsewhere")
    told = client.post("/cleanup")
    assert told.status_code == 200, told.text
    assert told.json()["failed"].keys() == {"outputs"}
    assert told.json()["removed"] == 1
    assert "Removing outputs failed" in told.json()["message"]
    assert not preview.exists()


@pytest.mark.anyio
async def test_a_busy_database_is_reported_and_files_are_deleted(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The route fails only if nothing at all can be cleaned up."""
    monkeypatch.setattr("streaming_server.storage.sqlite.BUSY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(Expiry, "run", lambda expiry: anyio.sleep_forever())
    app = create_app(Settings(engine="espeak", data_dir=data))
    async with app.router.lifespan_context(app):
        await only_previews_are_cleaned_up(app, data)


async def only_previews_are_cleaned_up(app: Starlette, data: Path) -> None:
    old = data / "previews" / f"{0:032x}.wav"
    old.touch()
    os.utime(old, (OLD, OLD))
    transport = httpx.ASGITransport(app)
    with closing(sqlite3.connect(data / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as client:
            told = (await client.post("/cleanup")).json()
            assert (told["removed"], told["failed"].keys()) == (1, {"outputs", "jobs"})
            assert "keeps the database busy" in told["failed"]["jobs"]
            assert not old.exists()
            (data / "previews").rmdir()
            answer = await client.post("/cleanup")
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "storage_failure")


def test_foreign_entries_in_the_data_directory_are_kept_and_do_not_prevent_the_start(
    start_server: Callable[..., Server], data: Path, tmp_path: Path
) -> None:
    """Covers directories, links and files with other names, in every folder of the data directory."""
    options = ("--max-workers=1", f"--data-dir={data}")
    first = start_server(*options)
    with to(first) as client:
        job = job_of(client, "Hello there.")
        until(lambda: status_of(client, job) == "completed")
        client.get("/preview/aria")
    first.process.terminate()
    first.process.wait(10)
    (tmp_path / "mine.wav").touch()
    folders = ("prompts", "tmp", "jobs", "outputs", "previews")
    for folder in folders:
        (data / folder / "folder.wav").mkdir()
        (data / folder / ("0" * 32 + ".part")).mkdir()
        (data / folder / "mine.txt").touch()
        (data / folder / ("1" * 32 + ".wav")).symlink_to(tmp_path / "mine.wav")
        (data / folder / ("2" * 32 + ".wav")).symlink_to(tmp_path)
        for path in (data / folder).iterdir():
            if path.name != f"{job}.wav":
                os.utime(path, (OLD, OLD), follow_symlinks=False)
    left = {"folder.wav", "0" * 32 + ".part", "mine.txt", "1" * 32 + ".wav", "2" * 32 + ".wav"}
    with to(start_server(*options)) as client:
        assert client.post("/cleanup").json()["failed"] == {}
        assert client.get(f"/jobs/{job}/result").status_code == 200
    for folder in folders:
        assert left <= {path.name for path in (data / folder).iterdir()}, folder
    assert (tmp_path / "mine.wav").exists()
