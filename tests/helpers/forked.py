"""Commands of run.py in processes forked from one that has imported what a server imports.

Imports are most of what a server's start costs, and hundreds are started.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

PRELOADED = "tests.helpers.preloaded"

ROOT = Path(__file__).parents[2]


class ForkedProcess:
    """`python run.py ARGUMENTS`, with its output in a file, and as much of `Popen` as tests use."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> None:
        self.args = list(arguments)
        given = (self.args, dict(environment), str(output))
        self._process = _context().Process(target=_run, args=given, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def __repr__(self) -> str:
        return f"<ForkedProcess: pid: {self.pid} returncode: {self.returncode} args: {self.args}>"

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status. Raise TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _context() -> ForkServerContext:
    """Return the context whose fork server, started with the first process, has imported the package."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    return context


def _run(arguments: list[str], environment: dict[str, str], output: str) -> None:
    """Run the command in its own environment. Unlike a process of its own, it ends without `atexit`."""
    from streaming_server.cli.main import main

    with open(output, "wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["run.py", *arguments]
    sys.exit(main(arguments))
