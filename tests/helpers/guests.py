"""The application under ASGI servers other than its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from helpers.servers import Server, free_port, running_process

FACTORY = "streaming_server.web.app:create_app"

COMMANDS = MappingProxyType(
    {
        "uvicorn": ("uvicorn", "--factory", FACTORY, "--log-level=warning", "--port={port}"),
        "hypercorn": ("hypercorn", f"{FACTORY}()", "--bind=127.0.0.1:{port}"),
    }
)


@contextmanager
def running_guest(host: str, log: Path, **environment: str) -> Iterator[Server]:
    """Run the application, configured by DIA_* variables, in an ASGI server of this name."""
    port = free_port()
    command = [word.format(port=port) for word in COMMANDS[host]]
    with running_process(log, ["-m", *command], port, environment, signals=1) as server:
        yield server
