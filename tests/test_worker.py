"""A worker process and what the server may send it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from streaming_server.engines.selection import select_engine
from streaming_server.ipc.framing import FrameReader, pack
from streaming_server.ipc.messages import Fatal, Ping, Pong, Ready, Submit, decode_report, encode
from streaming_server.types import DEFAULT_VOICE, Generation, Utterance

R = TypeVar("R")

BROKEN_ENGINE = """
from streaming_server.engines.provider import EngineProvider
from streaming_server.types import ChunkPolicy, EngineInfo, MemoryReport

class Engine:
    info = EngineInfo("broken", 22050, 1, False, ("en",), ChunkPolicy(0, 1, 400, 0.0), frozenset())
    device_name = "CPU"
    active = 0

    def submit(self, utterance):
        self.active = 1

    def step(self):
        raise IndexError("out of range")

    def memory(self):
        return MemoryReport(1, 2)

    def close(self):
        pass

BROKEN = EngineProvider("broken", "never speaks", lambda settings: Engine())
"""


@contextmanager
def worker(*engine: str, path: str = "") -> Iterator[tuple[socket.socket, subprocess.Popen[str]]]:
    """Start a worker, of eSpeak by default; yield the server's end of its socket.

    path: a folder to import from.
    """
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "streaming_server.worker"]
    command += engine or select_engine("espeak").worker_arguments
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])}
    command += [f"--fd={theirs.fileno()}", f"--parent={os.getpid()}"]
    with (
        ours,
        subprocess.Popen(
            command, env=environment, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        theirs.close()
        ours.settimeout(30)
        try:
            yield ours, process
        finally:
            process.kill()


def receive(link: socket.socket, kind: type[R]) -> R:
    """Read reports until one of a kind has come, and return it."""
    frames = FrameReader()
    while data := link.recv(65536):
        for report in map(decode_report, frames.feed(data)):
            if isinstance(report, kind):
                return report
    raise AssertionError("The worker has closed its socket.")


@pytest.mark.parametrize(
    "garbage",
    [pack(b'["submit",{}]'), pack(b'["unknown"]'), pack(b"\xff"), b"\xff" * 8],
    ids=["empty utterance", "unknown tag", "not UTF-8", "impossible size"],
)
def test_a_worker_exits_with_a_log_line_on_a_malformed_message(garbage: bytes) -> None:
    with worker() as (link, process):
        receive(link, Ready)
        link.sendall(encode(Ping()))
        receive(link, Pong)
        link.sendall(garbage)
        log = process.communicate(timeout=30)[1]
        assert process.returncode == 1
        (line,) = log.splitlines()
        assert line.startswith("worker exits: ")


def test_a_worker_exits_quietly_when_the_server_is_gone() -> None:
    with worker() as (link, process):
        receive(link, Ready)
        link.shutdown(socket.SHUT_RDWR)
        assert process.communicate(timeout=30)[1] == ""
        assert process.returncode == 0


def test_a_worker_reports_and_logs_an_exception_of_its_engine(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN_ENGINE)
    with worker("--engine=broken:BROKEN", path=str(tmp_path)) as (link, process):
        receive(link, Ready)
        link.sendall(encode(Submit(Utterance(1, 1, "Hello.", DEFAULT_VOICE, Generation(), 0.0))))
        fatal = receive(link, Fatal)
        assert fatal == Fatal("engine_failure", "Engine broken failed: IndexError.")
        log = process.communicate(timeout=30)[1]
        assert process.returncode == 1
        assert log.startswith("engine failed\n")
        assert "IndexError: out of range" in log
