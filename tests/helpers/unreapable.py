"""Processes that cannot be reaped, as in uninterruptible sleep."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest

from streaming_server.ipc import child


@contextmanager
def unreapable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every wait for the exit of a child process last for ever; reap the processes on leaving."""
    processes = list[subprocess.Popen[bytes]]()

    async def wait_for_exit(process: subprocess.Popen[bytes]) -> None:
        processes.append(process)
        await anyio.sleep_forever()

    with monkeypatch.context() as patch:
        patch.setattr(child, "wait_for_exit", wait_for_exit)
        yield
    for process in processes:
        process.wait(20)
