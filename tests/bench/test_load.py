"""The whole command, with a real server and a real bare socket."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp

from streaming_server.bench import chores
from streaming_server.bench.command import BenchCommand
from streaming_server.bench.engine_alone import EngineAlone
from streaming_server.bench.load import bench
from streaming_server.bench.report import Limit, Report
from streaming_server.bench.row import Row
from streaming_server.errors import SpeechError, Unavailable


@pytest.mark.slow
def test_measures_the_server_and_the_bare_socket(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--sessions=3", "--seconds=2", "--ramp=0", "--tokens-per-second=150", "--json"]
    arguments.append("--engine-alone")
    assert bench(CliApp.run(BenchCommand, cli_args=arguments)) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["server"] for row in report["rows"]] == ["server", "bare socket"]
    for row in report["rows"]:
        assert row["sessions"] == 3
        assert row["turns"] >= 3
        assert row["first_audio_ms"]["p50"] > 0
        assert row["audio_s_per_s"] > 3
        assert row["cpu_ms_per_audio_s"] > 0
        assert (row["refused"], row["errored"]) == (0, 0)
    assert report["ready_s"] > 0
    assert report["idle_mib"] > 10
    assert report["engine"]["audio_s_per_s"] > 10
    assert 0 < report["of_engine"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("chore", ["uploads", "jobs"])
def test_measures_the_server_with_background_requests(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, chore: str
) -> None:
    monkeypatch.setattr(chores, "PAUSE_S", 0.05)
    monkeypatch.setattr(chores, "JOB_TEXT", "A job.")
    arguments = ["--sessions=2", "--seconds=2", "--ramp=0", f"--beside={chore}", "--json"]
    assert bench(CliApp.run(BenchCommand, cli_args=arguments)) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert [row["server"] for row in report["rows"]] == ["server", f"server, {chore}"]
    assert {row["clean"] for row in report["rows"]} == {1.0}
    [done] = re.findall(rf"{chore}: (\d+) background requests", printed.err)
    assert int(done) > 1


@pytest.mark.slow
def test_reports_why_a_server_cannot_transcribe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIA_WHISPER_MODEL", "/nowhere/weights.pt")
    arguments = ["--sessions=1", "--seconds=1", "--ramp=0", "--beside=transcription"]
    with pytest.raises(Unavailable, match="DIA_WHISPER_MODEL"):
        bench(CliApp.run(BenchCommand, cli_args=arguments))


def test_sessions_option_is_a_list() -> None:
    assert CliApp.run(BenchCommand, cli_args=["--sessions=1,50"]).sessions == (1, 50)
    with pytest.raises(ValidationError):
        CliApp.run(BenchCommand, cli_args=["--sessions=0"])
    with pytest.raises(ValidationError):
        CliApp.run(BenchCommand, cli_args=["--sessions="])


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        CliApp.run(BenchCommand, cli_args=["--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    for name, field in BenchCommand.model_fields.items():
        assert "--" + name.replace("_", "-") in text
        assert field.description


def test_the_ratio_is_that_of_the_session_counts() -> None:
    limits = [Limit("server", 1000, 1200), Limit("bare socket", 1250, 1500)]
    assert Report(None, None, [], limits).of_ceiling == 0.8
    assert Report(None, None, [], limits[:1]).of_ceiling is None


def test_the_engine_s_ratio_is_of_the_most_sessions_in_real_time() -> None:
    rows = [row("server", 100, 1.0), row("server", 300, 0.99), row("server", 500, 0.98)]
    rows.append(row("bare socket", 500, 1.0))
    report = Report(None, None, rows, engine=EngineAlone(360.0, 0.9))
    assert report.held == 300
    assert report.of_engine == 0.75
    assert json.loads(report.json())["of_engine"] == 0.75
    assert Report(None, None, rows[2:], engine=EngineAlone(360.0, 0.9)).of_engine == 0
    assert Report(None, None, rows).of_engine is None


def row(server: str, sessions: int, clean: float) -> Row:
    return Row(server, sessions, 5, None, 0.0, 0.0, clean, 0, 0, 1.0, None, None, 0.1, 0.1)


@pytest.mark.parametrize("other", ["--url=http://127.0.0.1:1", "--soak"])
def test_the_engine_alone_is_measured_only_with_sessions_of_this_machine(other: str) -> None:
    command = CliApp.run(BenchCommand, cli_args=["--engine-alone", other])
    with pytest.raises(SpeechError, match="--engine-alone"):
        bench(command)
