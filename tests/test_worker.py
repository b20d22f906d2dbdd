"""A worker process and what the server may send it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streaming_server.engines.selection import select_engine
from streaming_server.ipc.framing import FrameReader, pack
from streaming_server.ipc.messages import Ping, Pong, Ready, Report, decode_report, encode


@contextmanager
def worker() -> Iterator[tuple[socket.socket, subprocess.Popen[str]]]:
    """Start an eSpeak worker; yield the server's end of its socket."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "streaming_server.worker"]
    command += select_engine("espeak").worker_arguments
    command += [f"--fd={theirs.fileno()}", f"--parent={os.getpid()}"]
    with (
        ours,
        subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True) as process,
    ):
        theirs.close()
        ours.settimeout(30)
        try:
            yield ours, process
        finally:
            process.kill()


def receive(link: socket.socket, kind: type[Report]) -> None:
    """Read reports until one of a kind has come."""
    frames = FrameReader()
    while data := link.recv(65536):
        if any(isinstance(decode_report(frame), kind) for frame in frames.feed(data)):
            return
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
