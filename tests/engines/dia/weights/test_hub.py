"""Weights from a directory or the hub; errors give advice."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streaming_server.engines.dia.weights.hub import locate
from streaming_server.errors import EngineFailure

ROOT = Path(__file__).parents[4]
COMMIT = "a" * 40
WHOLE = b'{"model_type": "dia"}'
PROMISED = 1_000_000
"""Size of the weights in bytes that the hub announces."""


@pytest.mark.parametrize("name", ["/no/such/directory", "./nowhere", "plain"])
def test_missing_directory_error_names_the_setting(name):
    with pytest.raises(EngineFailure, match="DIA_MODEL is not a directory"):
        locate(name, "DIA_MODEL")


def test_unknown_random_size_is_an_error():
    with pytest.raises(EngineFailure, match="random:huge"):
        locate("random:huge", "DIA_MODEL")


class Hub(ThreadingHTTPServer):
    """Imitates the hub. ending: how a connection that sends weights ends."""

    daemon_threads = True

    def __init__(self, ending: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.ending = ending
        self.tokens: list[str | None] = []
        self.over = threading.Event()
        """Nobody listens any more."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        """Do not log requests."""

    def do_HEAD(self) -> None:
        self.promise(len(WHOLE) if self.path.endswith(".json") else PROMISED)

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers.get("authorization"))
        if "/tree/" in self.path:
            files = [
                {"type": "file", "oid": "b" * 40, "size": size, "path": path}
                for path, size in (("config.json", len(WHOLE)), ("model.safetensors", PROMISED))
            ]
            self.whole(json.dumps(files).encode())
        elif "/api/models/" in self.path:
            names = [{"rfilename": name} for name in ("config.json", "model.safetensors")]
            self.whole(json.dumps({"id": "some/voice", "sha": COMMIT, "siblings": names}).encode())
        elif self.path.endswith(".json"):
            self.whole(WHOLE)
        else:
            self.promise(PROMISED)
            self.wfile.write(bytes(1000))
            self.break_off()

    def promise(self, size: int) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{size}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def whole(self, content: bytes) -> None:
        self.promise(len(content))
        self.wfile.write(content)

    def break_off(self) -> None:
        self.close_connection = True
        match self.server.ending:
            case "is reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())
            case "falls silent":
                self.server.over.wait()


@pytest.fixture
def hub():
    """Return a function that starts a hub whose connections end in a given way."""
    hubs = []

    def start(ending):
        hubs.append(Hub(ending))
        threading.Thread(target=hubs[-1].serve_forever, args=(0.01,)).start()
        return hubs[-1]

    yield start
    for each in hubs:
        each.over.set()
        each.shutdown()
        each.server_close()


def look_for(folder, **environment):
    """Return the error in a new process, as the hub's client reads its settings when imported."""
    pytest.importorskip("huggingface_hub")
    program = """if True:
        from streaming_server.engines.dia.weights.hub import locate
        from streaming_server.errors import EngineFailure
        try:
            print(locate("some/voice", "DIA_MODEL"))
        except EngineFailure as error:
            print("refused:", error.message)
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    settings = {"HF_HOME": str(folder), "HF_HUB_DOWNLOAD_TIMEOUT": "1", **environment}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=ROOT, env=inherited | settings, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize(
    "ending", ["is reset", "is closed", pytest.param("falls silent", marks=pytest.mark.slow)]
)
def test_lost_connection_is_explained(tmp_path, hub, ending):
    serving = hub(ending)
    said = look_for(tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{serving.server_port}", HF_TOKEN="hf_secret")
    assert said.startswith("refused: some/voice cannot be downloaded from the hub: ")
    assert "Pass a directory with its files as DIA_MODEL, or random:tiny" in said
    assert "Bearer hf_secret" in serving.tokens
    assert "hf_secret" not in said


def test_no_network_is_explained(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    said = look_for(tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{port}")
    assert said.startswith("refused: some/voice cannot be downloaded from the hub: ")
    assert "Pass a directory with its files as DIA_MODEL, or random:tiny" in said


def test_offline_hub_is_explained(tmp_path):
    said = look_for(tmp_path, HF_HUB_OFFLINE="1")
    assert "cannot be downloaded" in said
    assert "HF_HUB_OFFLINE" in said
    assert "Pass a directory" in said
