"""The gateway: HAProxy with the configuration that is shipped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.required import missing
from helpers.servers import Server, free_port, until
from streaming_server.bench.gateway import add_server, command_gateway, haproxy_binary, running_haproxy
from streaming_server.errors import Unavailable


def need_haproxy() -> None:
    """Skip the test where HAProxy cannot be installed, except in CI."""
    try:
        haproxy_binary()
    except Unavailable as error:
        missing(error.message)


@dataclass(frozen=True, slots=True)
class Gateway(Server):
    """A running gateway, which looks like a server. admin: the socket of its runtime API."""

    admin: Path

    def command(self, *commands: str) -> str:
        """Send commands to the runtime API; return what it answers."""
        return command_gateway(self.admin, *commands)

    def add(self, name: str, server: Server) -> None:
        """Add a server; it gets clients once its check succeeds."""
        add_server(self.admin, name, f"127.0.0.1:{server.port}")

    def remove(self, name: str) -> None:
        """Remove a server that has no connection."""
        self.command(f"disable server speech/{name}")
        until(lambda: "deleted" in self.command(f"del server speech/{name}"))

    def states(self) -> dict[str, str]:
        """Return the state of each server by name, such as UP, DOWN or MAINT."""
        header, *rows = self.command("show stat speech 4 -1").removeprefix("# ").strip().splitlines()
        columns = header.split(",")
        listed = [dict(zip(columns, row.split(","), strict=False)) for row in rows]
        return {row["svname"]: row["status"].split()[0] for row in listed}

    def servers_up(self) -> int:
        return list(self.states().values()).count("UP")

    def wait_for(self, *names: str) -> None:
        """Wait until these servers get clients."""
        until(lambda: all(self.states().get(name) == "UP" for name in names))


@contextmanager
def running_gateway(folder: Path, **servers: Server) -> Iterator[Gateway]:
    """Run a gateway in front of these servers."""
    with started_gateway(folder) as gateway:
        for name, server in servers.items():
            gateway.add(name, server)
        gateway.wait_for(*servers)
        yield gateway


@contextmanager
def started_gateway(folder: Path, **environment: str) -> Iterator[Gateway]:
    """Run a gateway configured by SPEECH_* variables."""
    port, log, admin = free_port(), folder / "gateway.log", folder / "admin.sock"
    variables = {"SPEECH_BIND": f"127.0.0.1:{port}", "SPEECH_ADMIN": str(admin), **environment}
    need_haproxy()
    with log.open("wb") as output, running_haproxy(variables, output) as process:
        gateway = Gateway(process, port, log, admin)
        until(lambda: process.poll() is not None or _answers(gateway))
        assert process.poll() is None, gateway.logged()
        yield gateway


def _answers(gateway: Gateway) -> bool:
    try:
        return gateway.get("/gateway/readyz")[0] in (200, 503)
    except OSError:
        return False
