"""The soak: its verdict, and a short run against a real server."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter

import pytest
from helpers.servers import free_port
from pydantic_settings import CliApp

from streaming_server.bench.client import Address
from streaming_server.bench.command import BenchCommand
from streaming_server.bench.gauge import Gauge
from streaming_server.bench.load import bench
from streaming_server.bench.session import Manner
from streaming_server.bench.soak import Run, soak
from streaming_server.bench.soak_ledger import Period, Reading, SoakLedger
from streaming_server.bench.soak_report import faults
from streaming_server.bench.subject import Subject
from streaming_server.errors import SpeechError


def period(p99_ms: float = 10.0, **kept: float) -> Period:
    reading = {"mib": 100.0, "files": 40, "threads": 14, "tasks": 60} | kept
    return Period([p99_ms / 1000] * 100, readings=[Reading(**reading)])  # type: ignore[arg-type]


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
        (Period(readings=[Reading(100, 40, 14, 60)]), "Nothing was heard"),
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


def test_a_server_that_is_gone_is_a_fault() -> None:
    gone = Subject("gone", Address("127.0.0.1", free_port()), Gauge(os.getpid()))
    report = asyncio.run(soak(gone, Manner([], 150.0, 0.05), Run(1, 0.5, 0.0, 0), lambda line: None))
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
