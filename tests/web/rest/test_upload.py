"""Uploads: limits of number, length and time, and a full disk."""

from __future__ import annotations

import gzip
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from helpers.rest import recording, to, upload
from helpers.servers import Server, running_server, until

from streaming_server.web.limits import UPLOAD_WAIT_S, UPLOADS_AT_ONCE

HEAD = b'--B\r\nContent-Disposition: form-data; name="audio_file"; filename="a.wav"\r\n\r\n'


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("uploads") / "log", "--max-upload-bytes=10000000") as server:
        yield server


@pytest.fixture
def spool(shared: Server) -> Path:
    return shared.log.with_suffix(".data") / "tmp"


@pytest.fixture
def alone(shared: Server, spool: Path) -> Iterator[Server]:
    """A server without uploads, before and after."""
    yield shared
    until(lambda: list(spool.iterdir()) == [])


@pytest.fixture
def client(alone: Server) -> Iterator[httpx.Client]:
    with to(alone) as one:
        yield one


def begun(server: Server, length: int | None = None) -> socket.socket:
    """Return a connection with an upload begun: of a known length, or chunked."""
    said = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    line = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    line.sendall(
        f"POST /audio_prompts/upload HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Content-Type: multipart/form-data; boundary=B\r\n{said}\r\n\r\n".encode()
    )
    line.sendall(HEAD if length is not None else chunk(HEAD))
    return line


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def answer_of(line: socket.socket) -> tuple[int, bytes]:
    """Return the status and everything received until the server closes."""
    received = bytearray()
    try:
        while data := line.recv(65536):
            received += data
    except ConnectionError:
        assert received
    return int(received.split(b" ", 2)[1]), bytes(received)


def test_uploads_at_once_are_limited(alone: Server, client: httpx.Client, spool: Path) -> None:
    """Unlimited, they could fill the disk together, one file each."""
    with ExitStack() as lines:
        for _ in range(UPLOADS_AT_ONCE):
            lines.enter_context(closing(begun(alone, 5_000_000)))
        until(lambda: len(list(spool.iterdir())) == UPLOADS_AT_ONCE)
        started = time.monotonic()
        refused = upload(client, "one-more")
        assert time.monotonic() - started > 0.5 * UPLOAD_WAIT_S
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "full")
        assert int(refused.headers["retry-after"]) > 0
        assert len(list(spool.iterdir())) == UPLOADS_AT_ONCE
        assert client.get("/livez").status_code == 200
    until(lambda: list(spool.iterdir()) == [])
    assert upload(client, "one-more", transcript="Hi.").is_success


def test_a_waiting_upload_gets_the_next_place(alone: Server, client: httpx.Client, spool: Path) -> None:
    with ExitStack() as lines:
        held = [lines.enter_context(closing(begun(alone, 5_000_000))) for _ in range(UPLOADS_AT_ONCE)]
        until(lambda: len(list(spool.iterdir())) == UPLOADS_AT_ONCE)
        held[0].close()
        assert upload(client, "next", transcript="Hi.").is_success


def test_a_too_large_content_length_is_rejected_unread(alone: Server, spool: Path) -> None:
    with closing(begun(alone, 4_000_000_000)) as line:
        started = time.monotonic()
        status, answer = answer_of(line)
        assert time.monotonic() - started < 5
    assert status == 413
    assert b"The upload is longer than 9 MiB." in answer
    assert b"connection: close" in answer.lower()
    assert list(spool.iterdir()) == []


def test_a_client_that_keeps_sending_is_disconnected(alone: Server) -> None:
    """The server used to read a gigabyte to its end."""
    piece = bytes(1_000_000)
    with closing(begun(alone, 4_000_000_000)) as line:
        sent = 0
        with pytest.raises(ConnectionError):
            while sent < 1_000_000_000:
                line.sendall(piece)
                sent += len(piece)
        assert sent < 100_000_000


def test_a_chunked_upload_is_cut_off_at_the_limit(alone: Server, spool: Path) -> None:
    with closing(begun(alone)) as line:
        with pytest.raises(ConnectionError):
            for _ in range(100):
                line.sendall(chunk(bytes(1_000_000)))
    until(lambda: list(spool.iterdir()) == [])
    with closing(begun(alone)) as line:
        for _ in range(11):
            line.sendall(chunk(bytes(1_000_000)))
        assert answer_of(line)[0] == 413


def test_a_client_that_sends_first_can_read_the_refusal(alone: Server) -> None:
    """Closing at once would reset the connection."""
    with closing(begun(alone, 12_000_000)) as line:
        line.sendall(bytes(6_000_000))
        status, answer = answer_of(line)
    assert status == 413
    assert b'"code":"too_large"' in answer


def test_a_small_unread_body_keeps_the_connection(client: httpx.Client) -> None:
    answer = client.post("/audio_prompts/upload", json={"prompt_id": "json"})
    assert answer.status_code == 400
    assert "connection" not in answer.headers


@pytest.fixture
def little_room(alone: Server) -> Iterator[None]:
    """Limit files to 200 kB, which fails as a full disk does."""
    process = psutil.Process(alone.process.pid)
    before = process.rlimit(resource.RLIMIT_FSIZE)
    process.rlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    yield
    process.rlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_reported(client: httpx.Client, spool: Path, little_room: Any) -> None:
    """An upload spooled to the system's temporary directory failed with a 500."""
    refused = upload(client, "large", recording(20.0))
    assert refused.status_code == 507
    assert refused.json()["error"] == {
        "code": "storage_failure",
        "message": "The disk is full; nothing was changed.",
    }
    assert refused.json()["detail"] == refused.json()["error"]["message"]
    assert list(spool.iterdir()) == []
    assert "large" not in client.get("/audio_prompts").json()


def test_a_missing_directory_is_reported(client: httpx.Client, spool: Path) -> None:
    spool.rmdir()
    refused = upload(client, "nowhere")
    spool.mkdir()
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "storage_failure")
    assert client.get("/livez").status_code == 200


def packed_form(file: bytes) -> tuple[bytes, dict[str, str]]:
    """Return an upload as gzip, and its headers."""
    fields = b'--B\r\nContent-Disposition: form-data; name="prompt_id"\r\n\r\npacked\r\n'
    form = fields + HEAD + file + b"\r\n--B--\r\n"
    return gzip.compress(form, mtime=0), {
        "content-type": "multipart/form-data; boundary=B",
        "content-encoding": "gzip",
    }


def test_a_gzip_upload_is_read(client: httpx.Client) -> None:
    body, headers = packed_form(recording())
    answer = client.post("/audio_prompts/upload", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert client.get("/audio_prompts/packed/audio").status_code == 200


def test_a_gzip_upload_that_unpacks_to_too_much_is_refused(alone: Server, client: httpx.Client) -> None:
    memory = psutil.Process(alone.process.pid).memory_info().rss
    body, headers = packed_form(bytes(2_000_000_000 // 4))
    answer = client.post("/audio_prompts/upload", content=body, headers=headers)
    assert answer.status_code == 413
    assert psutil.Process(alone.process.pid).memory_info().rss - memory < 30_000_000


@pytest.mark.parametrize("cut", [10, 1000])
def test_an_incomplete_gzip_upload_is_refused(client: httpx.Client, cut: int) -> None:
    body, headers = packed_form(recording())
    answer = client.post("/audio_prompts/upload", content=body[:-cut], headers=headers)
    assert answer.status_code == 400
    assert "incomplete" in answer.text
