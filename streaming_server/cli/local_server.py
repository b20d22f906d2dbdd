"""A server of one's own, for commands that find none running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from streaming_server.errors import Unavailable

GOODBYE_S = 3.0
START_TIMEOUT_S = 1800.0
"""Dia's first start may download gigabytes; what cannot start ends by itself."""


@contextmanager
def own_server(*options: str) -> Iterator[str]:
    """Start a server on a free port for as long as it is needed. It obeys these options and DIA_* variables.

    A Ctrl-C is not for it, but for who started it and ends it then. Raises Unavailable.
    """
    with tempfile.TemporaryDirectory(prefix="streaming-server-", ignore_cleanup_errors=True) as data:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        arguments = ["serve", "--host=127.0.0.1", f"--port={port}", f"--data-dir={data}"]
        arguments += ["--log-level=warning", *options]
        # Nobody else can reach it, and who starts it need not have the key at hand.
        environment = {name: value for name, value in os.environ.items() if name.upper() != "DIA_API_KEYS"}
        command = [sys.executable, "-m", "streaming_server", *arguments]
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,  # Ours may be where sound or figures are written. Its log is beside.
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            yield url
        finally:
            _end(process)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(f"{url}/readyz"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unavailable("No server could be started.")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GOODBYE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    """Whether a GET of it succeeds, through no proxy."""
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with directly.open(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        return False
