"""The server that a command starts for itself."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from streaming_server.cli.local_server import answers, own_server
from streaming_server.errors import Unavailable

ROOT = Path(__file__).parents[2]


def test_listens_on_a_port_that_no_other_program_can_have() -> None:
    with own_server("--max-workers=1") as server:
        port = urlsplit(server.url).port
        assert port is not None
        listening = [
            one.laddr.port for one in psutil.Process(server.pid).net_connections("tcp") if not one.raddr
        ]
        assert listening == [port]
        psutil.Process(server.pid).kill()
        psutil.wait_procs([psutil.Process(server.pid)], timeout=20)
        with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
            other.bind(("127.0.0.1", port))
            other.listen()
    assert not answers(f"{server.url}/livez")


def test_reports_a_server_that_does_not_start() -> None:
    with (
        pytest.raises(Unavailable, match="The temporary server did not start"),
        own_server("--engine=nonesuch"),
    ):
        pass


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.2"])
def test_serve_refuses_a_socket_bound_to_another_address(address: str) -> None:
    """The check that a server beyond loopback has keys uses --host."""
    with socket.create_server((address, 0)) as listener:
        answer = serve(listener.fileno())
    assert answer.returncode == 2
    assert f"is bound to {address}" in answer.stderr


def test_serve_refuses_a_descriptor_that_is_no_socket(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        answer = serve(file.fileno())
    assert answer.returncode == 2
    assert "is not a TCP socket" in answer.stderr


@pytest.mark.parametrize(
    ("family", "kind"),
    [(socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM)],
    ids=["UNIX", "UDP"],
)
def test_serve_refuses_a_socket_of_another_kind(
    tmp_path: Path, family: socket.AddressFamily, kind: socket.SocketKind
) -> None:
    with socket.socket(family, kind) as other:
        other.bind(str(tmp_path / "socket") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        answer = serve(other.fileno())
    assert answer.returncode == 2
    assert "is not a TCP socket" in answer.stderr


def serve(fd: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "run.py", "serve", f"--fd={fd}"]
    return subprocess.run(
        command, cwd=ROOT, pass_fds=[fd], capture_output=True, text=True, timeout=50, check=False
    )
