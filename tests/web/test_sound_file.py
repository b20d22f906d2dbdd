"""Ranges of stored audio files, and files that are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from helpers.rest import job_of, status_of, to
from helpers.servers import Server, running_server, until
from starlette.types import Receive, Scope, Send

from streaming_server.errors import UnknownVoiceSample
from streaming_server.web.sound_file import SoundFile


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("kept") / "log", "--max-workers=1") as server:
        yield server


@pytest.fixture
def client(kept: Server) -> Iterator[httpx.Client]:
    with to(kept) as one:
        yield one


@pytest.fixture
def path(client: httpx.Client) -> str:
    """Return the path of a job's result."""
    job = job_of(client, "Hello there.")
    until(lambda: status_of(client, job) == "completed")
    return f"/jobs/{job}/result"


def test_results_and_previews_serve_ranges(client: httpx.Client, path: str) -> None:
    for place in (path, "/preview/aria"):
        whole = client.get(place).content
        answer = client.get(place, headers={"Range": "bytes=10-19"})
        assert (answer.status_code, answer.content) == (206, whole[10:20])
        assert answer.headers["content-range"] == f"bytes 10-19/{len(whole)}"
        assert client.get(place, headers={"Range": "bytes=-5"}).content == whole[-5:]


@pytest.mark.anyio
async def test_a_file_replaced_before_it_is_opened_is_found_again(tmp_path: Path) -> None:
    """A file replaced between lookup and open used to be a 404 now and then."""
    (tmp_path / "new").write_bytes(b"sound")

    async def find() -> Path:
        return tmp_path / "new"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await SoundFile(tmp_path / "old", find=find, gone=UnknownVoiceSample("Gone."))(scope, receive, send)

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as one:
        assert (await one.get("/")).content == b"sound"
        (tmp_path / "new").unlink()
        with pytest.raises(UnknownVoiceSample):
            await one.get("/")


def test_a_range_outside_the_file_is_a_416_with_the_length(client: httpx.Client, path: str) -> None:
    length = len(client.get(path).content)
    answer = client.get(path, headers={"Range": f"bytes={length}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{length}"
    assert answer.headers["content-type"] == "application/json"
    told = {"code": "range_not_satisfiable", "message": f"Range: the file has {length} bytes."}
    assert answer.json() == {"error": told, "detail": told["message"]}


@pytest.mark.parametrize("said", ["bytes=", "bytes=9-3", "seconds=1-2", "nonsense"])
def test_a_malformed_range_is_a_400_in_the_shape_of_all_routes(
    client: httpx.Client, path: str, said: str
) -> None:
    answer = client.get(path, headers={"Range": said})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_message")
    assert answer.json()["detail"] == answer.json()["error"]["message"]


def test_a_removed_result_has_expired(start_server: Callable[..., Server]) -> None:
    """A file removed between lookup and open used to be a 500."""
    server = start_server("--max-workers=1")
    with to(server) as client:
        job = job_of(client, "Hello there.")
        until(lambda: status_of(client, job) == "completed")
        [file] = Path(server.log.with_suffix(".data") / "jobs").iterdir()
        file.unlink()
        answer = client.get(f"/jobs/{job}/result")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_job")
    assert "expired" in answer.json()["detail"]


def test_a_file_removed_while_it_is_sent_is_sent_completely(start_server: Callable[..., Server]) -> None:
    """The file used to be opened after its headers were sent and could be gone by then."""
    server = start_server("--max-workers=1")
    with to(server) as client:
        job = job_of(client, "Hello there. " * 500)
        until(lambda: status_of(client, job) == "completed", 20)
        [file] = Path(server.log.with_suffix(".data") / "jobs").iterdir()
        whole = file.read_bytes()
        with client.stream("GET", f"/jobs/{job}/result") as answer:
            file.unlink()
            assert answer.read() == whole
    assert len(whole) > 2_000_000
