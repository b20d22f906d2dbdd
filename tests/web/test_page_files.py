"""The files of the page over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from helpers.servers import Server

STATIC = Path(__file__).parents[2] / "static"
MOST_BYTES = 150_000
"""Most bytes that a browser loads for the page, without the charts' library."""


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


def raw(client: httpx.Client, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """Return an answer and its body as it came over the wire."""
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip", **headers}) as answer:
        return answer, b"".join(answer.iter_raw())


def test_scripts_are_compressed_for_clients_that_accept_gzip(client: httpx.Client) -> None:
    content = (STATIC / "app.js").read_bytes()
    for _ in range(2):
        answer, body = raw(client, "/static/app.js")
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["content-security-policy"]
        assert gzip.decompress(body) == content
        assert len(body) == int(answer.headers["content-length"]) < 0.7 * len(content)
    for encoding in ("identity", "br", ""):
        plain, body = raw(client, "/static/app.js", **{"Accept-Encoding": encoding})
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "Accept-Encoding"
        assert body == content


def test_a_file_that_has_not_changed_is_not_sent_again(client: httpx.Client) -> None:
    first, _ = raw(client, "/static/app.js")
    for encoding in ("gzip", "identity"):
        tags = {"If-None-Match": first.headers["etag"], "Accept-Encoding": encoding}
        again, body = raw(client, "/static/app.js", **tags)
        assert again.status_code == 304
        assert body == b""
    other, _ = raw(client, "/static/app.js", **{"If-None-Match": '"another"'})
    assert other.status_code == 200


def test_a_range_is_of_the_file_as_it_is(client: httpx.Client) -> None:
    answer, body = raw(client, "/static/app.js", Range="bytes=0-9")
    assert (answer.status_code, body) == (206, (STATIC / "app.js").read_bytes()[:10])


def test_the_page_itself_is_compressed_and_not_sent_again(client: httpx.Client) -> None:
    content = (STATIC / "index.html").read_bytes()
    answer, body = raw(client, "/", Accept="text/html")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert gzip.decompress(body) == content
    again, body = raw(client, "/", Accept="text/html", **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, body) == (304, b"")
    _, body = raw(client, "/", Accept="text/html", **{"Accept-Encoding": "identity"})
    assert body == content
    json, _ = raw(client, "/", Accept="application/json")
    assert json.headers["content-type"] == "application/json"


def test_a_missing_file_is_not_found(client: httpx.Client) -> None:
    for path in ("/static/nothing.js", "/static/lib", "/static/%00.js", "/static/../run.py"):
        assert raw(client, path)[0].status_code == 404


def test_the_whole_page_is_small(client: httpx.Client) -> None:
    files = [path for path in STATIC.rglob("*") if path.is_file() and "vendor" not in path.parts]
    sizes = {str(path): len(raw(client, f"/static/{path.relative_to(STATIC)}")[1]) for path in files}
    assert sum(sizes.values()) < MOST_BYTES, sizes
