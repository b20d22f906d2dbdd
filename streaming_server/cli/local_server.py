"""A temporary server for commands that find none running."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException

from streaming_server.errors import Unavailable
from streaming_server.ipc.child import REAP_S, SECRETS, environment_without

HOST = "127.0.0.1"

STOP_TIMEOUT_S = 3.0
"""Seconds the server may take to stop before it is killed."""

START_TIMEOUT_S = 1800.0
"""Dia's first start may download gigabytes; a server that cannot start exits by itself."""

POLL_S = 0.02
"""Interval between two looks at a condition."""

_NOT_INHERITED = SECRETS | {"DIA_OBJECTS", "DIA_WYOMING_HOST", "DIA_WYOMING_PORT"}
"""Variables that the server does not inherit. No other machine can reach it, and the command need not have
the key at hand. With a shared database it would take jobs of other servers; their Wyoming port is taken."""


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that is ready to speak. url: its address. pid: its process."""

    url: str
    pid: int


@contextmanager
def own_server(*options: str) -> Iterator[LocalServer]:
    """Start a server with these options and most DIA_* variables; stop it on exit. Raise Unavailable.

    It inherits a socket that listens already, and that this process keeps open, so that no other program can
    have its port. It runs in a session of its own: a Ctrl-C ends the command, which then stops the server.
    """
    with (
        tempfile.TemporaryDirectory(prefix="streaming-server-", ignore_cleanup_errors=True) as data,
        socket.create_server((HOST, 0)) as listener,
    ):
        arguments = ["serve", f"--host={HOST}", f"--fd={listener.fileno()}", f"--data-dir={data}"]
        arguments += ["--log-level=warning", *options]
        process = subprocess.Popen(
            [sys.executable, "-m", "streaming_server", *arguments],
            env=environment_without(_NOT_INHERITED),
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,  # Ours may carry audio or figures. The server logs to standard error.
            start_new_session=True,
        )
        try:
            url = f"http://{HOST}:{listener.getsockname()[1]}"
            if not wait_until(lambda: answers(f"{url}/readyz"), START_TIMEOUT_S, process):
                raise Unavailable("The temporary server did not start; its messages above say why.")
            yield LocalServer(url, process.pid)
        finally:
            _stop(process)


def wait_until(
    condition: Callable[[], bool], timeout_s: float, process: subprocess.Popen[bytes] | None = None
) -> bool:
    """Wait for a condition; return False if it took too long, or if the process has ended before."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if (process is not None and process.poll() is not None) or time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(REAP_S)


def answers(url: str) -> bool:
    """Return whether a GET of the URL succeeds."""
    try:
        fetch(url, timeout_s=1.0, most=0)
    except (OSError, HTTPException):
        return False
    return True


def fetch(request: str | urllib.request.Request, timeout_s: float, most: int | None = None) -> bytes:
    """Return the body of a response, or its first `most` bytes. Raise OSError, also for an error's status.

    Proxies from the environment are not used: they would see the key. Raise HTTPException for a server that
    does not speak HTTP.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout_s) as response:
        body: bytes = response.read(most)
        return body
