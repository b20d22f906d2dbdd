"""The application under ASGI servers other than its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from helpers.servers import START_TIMEOUT_S, Server, free_port, until

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
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIA_")}
    variables = {"DIA_DATA_DIR": str(log.with_suffix(".data")), "DIA_ENGINE": "espeak", **environment}
    command = [word.format(port=port) for word in COMMANDS[host]]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=Path(__file__).parents[2],
            env={**clean, **variables},
            stdout=output,
            stderr=output,
        )
    server = Server(process, port, log)
    try:
        until(lambda: process.poll() is not None or server.ready(), START_TIMEOUT_S)
        assert process.poll() is None, server.logged()
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
