"""Clients that connect again when their server restarts."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from helpers.foreign import LONG, contexts
from helpers.gateway import running_gateway
from helpers.servers import Server, until

from streaming_server.bench.client import Address
from streaming_server.bench.script import replies
from streaming_server.bench.session import LoadSession, Workload

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def test_say_starts_again_on_another_server(start_server: Callable[..., Server], tmp_path: Path) -> None:
    leaving, other = [start_server("--max-workers=1", "--drain-timeout-s=0") for _ in range(2)]
    text = tmp_path / "text"
    text.write_text(4 * LONG)
    with running_gateway(tmp_path, leaving=leaving) as gateway, text.open() as stdin:
        command = [sys.executable, "run.py", "say", "-", f"--out={tmp_path / 'out.wav'}"]
        say = subprocess.Popen(
            [*command, f"--url={gateway.url}"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "COLUMNS": "200"},
            stdin=stdin,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: contexts(leaving) == 1)
        until(lambda: any(part.stat().st_size for part in tmp_path.glob(".say-*.part")))
        leaving.process.terminate()
        gateway.add("other", other)
        _, told = say.communicate(timeout=50)
    assert say.returncode == 0, told
    assert "The server restarts; connecting again." in told
    with text.open() as stdin:
        whole = [*command[:-1], f"--out={tmp_path / 'whole.wav'}", f"--url={other.url}"]
        subprocess.run(whole, cwd=Path(__file__).parents[2], stdin=stdin, check=True, capture_output=True)
    assert (tmp_path / "out.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()


async def test_a_benchmark_session_continues_on_another_server(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    leaving, other = [start_server("--max-workers=1") for _ in range(2)]
    workload = Workload(replies(8, random.Random(1)), 150.0, 0.1)
    with running_gateway(tmp_path, leaving=leaving) as gateway:
        sessions = [LoadSession(workload, random.Random(seed)) for seed in range(5)]
        await asyncio.gather(*(one.connect(Address("127.0.0.1", gateway.port)) for one in sessions))
        gateway.add("other", other)
        with anyio.fail_after(40):
            while not all(one.turns and one.turns[0].playout.started for one in sessions):
                await anyio.sleep(0.01)
            leaving.process.terminate()
            while not all(len(one.turns) >= 2 for one in sessions):
                await anyio.sleep(0.01)
        assert [(one.stopped_by, one.errors) for one in sessions] == 5 * [(None, 0)]
        for one in sessions:
            one.end()
    assert leaving.process.wait(20) == 0
