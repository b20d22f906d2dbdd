"""Background requests of the benchmark."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from helpers.servers import free_port

from streaming_server.bench import chores
from streaming_server.bench.chores import Chore, Chores, Transcribing
from streaming_server.bench.client import Address
from streaming_server.errors import Unavailable


@pytest.fixture
def keys_seen() -> Iterator[tuple[int, list[str | None]]]:
    """Yield the port of a server that answers every POST, and the list of keys it received."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.headers["Authorization"])
            body = json.dumps({}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, seen
        finally:
            server.shutdown()
            thread.join()


def test_the_key_is_not_sent_through_a_proxy(
    keys_seen: tuple[int, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    port, seen = keys_seen
    Transcribing(Address("127.0.0.1", port, key="secret"), 0, threading.Event()).prepare()
    assert seen == ["Bearer secret"]


class Late(Chore):
    """Is ready only when it is stopped, but for the first client, and cleans only what it has made."""

    made = False

    def prepare(self) -> None:
        if not self._voice_sample.endswith("-0"):
            assert self._stopped.wait(20)

    def work(self) -> None:
        self.made = True

    def clean(self) -> None:
        if not self.made:
            raise Unavailable("There is nothing to clean.")


def test_a_client_that_is_stopped_early_has_something_to_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "CHORES", {"uploads": (Late, 2)})
    with Chores("uploads", Address("127.0.0.1", 1)) as clients:
        pass
    assert clients.done >= 1
