"""The soak: its verdict, and a short run against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter

import anyio
import pytest
from helpers.servers import free_port
from pydantic_settings import CliApp
from websockets.asyncio.server import ServerConnection, serve

from streaming_server.bench.client import Address
from streaming_server.bench.command import BenchCommand
from streaming_server.bench.gauge import Gauge
from streaming_server.bench.load import bench
from streaming_server.bench.script import replies
from streaming_server.bench.session import Workload
from streaming_server.bench.soak import SoakRun, soak
from streaming_server.bench.soak_ledger import Period, ResourceReading, SoakLedger
from streaming_server.bench.soak_report import faults
from streaming_server.bench.soak_session import SoakSession
from streaming_server.bench.subject import Subject
from streaming_server.errors import SpeechError


def period(p99_ms: float = 10.0, **kept: float) -> Period:
    reading = {"mib": 100.0, "files": 40, "threads": 14, "tasks": 60} | kept
    return Period([p99_ms / 1000] * 100, readings=[ResourceReading(**reading)])  # type: ignore[arg-type]


def test_a_run_that_stays_the_same_is_clean() -> None:
    assert faults([period(), period(mib=117, files=50, threads=22, tasks=80, p99_ms=24)]) == []


@pytest.mark.parametrize(
    ("last", "named"),
    [
        (period(mib=130), "MiB grew from 100 to 130."),
        (period(files=60), "files grew"),
        (period(threads=30), "threads grew"),
        (period(tasks=90), "tasks grew"),
        (period(p99_ms=30), "First audio p99 went from 10.0 to 30.0 ms."),
        (Period(readings=[ResourceReading(100, 40, 14, 60)]), "Nothing was heard"),
    ],
    ids=["memory", "files", "threads", "tasks", "first audio", "silence"],
)
def test_growth_and_delay_are_faults(last: Period, named: str) -> None:
    (fault,) = faults([period(), last])
    assert named in fault


def test_errors_are_faults() -> None:
    bad = period()
    bad.errors = Counter({"full": 2})
    assert faults([period(), bad, period()]) == ["Unexplained errors: 2 full."]


def test_a_lost_worker_is_no_reason_for_errors_before_its_death() -> None:
    ledger = SoakLedger(600)
    ledger.begin()
    ledger.error("worker_lost")
    assert ledger.now.errors == {"worker_lost": 1}
    ledger.kill(2**22 + 1)  # No process has this id.
    ledger.error("worker_lost")
    assert ledger.now.errors == {"worker_lost": 2}
    assert not ledger.now.excused


@pytest.mark.anyio
async def test_a_session_cuts_turns_short_and_connects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends no text after a cancel, which would open the context again."""
    monkeypatch.setattr("streaming_server.bench.soak_session.CUT_SHORT", 1.0)
    monkeypatch.setattr("streaming_server.bench.soak_session.CUT_WITHIN_S", 0.05)
    turns: list[list[str]] = []

    async def serve_client(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "ready", "sample_rate": 24000}))
        async for message in socket:
            kind = json.loads(message)["type"]
            if kind == "start":
                turns.append([])
            turns[-1].append(kind)
            if kind == "cancel":
                await socket.send(json.dumps({"type": "cancelled", "context": "reply"}))

    ledger = SoakLedger(600)
    workload = Workload(replies(4, random.Random(1)), 150.0, 0.01)
    async with serve(serve_client, "127.0.0.1", 0) as server:
        address = Address(*server.sockets[0].getsockname()[:2])
        session = SoakSession(workload, random.Random(1), ledger)
        await session.connect(address)
        with anyio.fail_after(20):
            while min(ledger.ramp.turns["cancelled"], ledger.ramp.turns["disconnected"]) < 3:
                await anyio.sleep(0.01)
        session.end()
    assert not ledger.ramp.errors
    assert all("cancel" not in turn[:-1] for turn in turns)


@pytest.mark.anyio
async def test_a_server_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming_server.bench.soak_session.ANSWER_S", 0.05)

    async def say_nothing(socket: ServerConnection) -> None:
        await socket.wait_closed()

    ledger = SoakLedger(600)
    async with serve(say_nothing, "127.0.0.1", 0) as server:
        session = SoakSession(Workload([], 150.0, 0.01), random.Random(1), ledger)
        await session.connect(Address(*server.sockets[0].getsockname()[:2]))
        with anyio.fail_after(20):
            while ledger.ramp.errors["no answer"] < 2:
                await anyio.sleep(0.01)
        session.end()
    assert set(ledger.ramp.errors) == {"no answer"}


def test_a_server_that_is_gone_is_a_fault() -> None:
    gone = Subject("gone", Address("127.0.0.1", free_port()), Gauge(os.getpid()))
    report = asyncio.run(soak(gone, Workload([], 150.0, 0.05), SoakRun(1, 0.5, 0.0, 0), lambda line: None))
    assert "no status" in report.faults[0]
    assert "refused" in report.faults[0]


def test_a_remote_server_is_not_soaked() -> None:
    with pytest.raises(SpeechError, match="--soak"):
        bench(CliApp.run(BenchCommand, cli_args=["--soak", "--url=http://127.0.0.1:1"]))


@pytest.mark.slow
def test_soaks_a_server(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIA_ENGINE", "espeak")
    arguments = ["--soak", "--sessions=8", "--seconds=25", "--ramp=2", "--json"]
    status = bench(CliApp.run(BenchCommand, cli_args=arguments))
    report = json.loads(capsys.readouterr().out)
    assert report["killed"] == 4
    turns = sum((Counter(row["turns"]) for row in report["periods"]), Counter())
    assert turns["whole"] >= 8
    assert not [row["errors"] for row in report["periods"] if row["errors"]]
    timing = [fault for fault in report["faults"] if fault.startswith("First audio")]  # Of a few turns.
    assert report["faults"] == timing
    assert status == bool(timing)
