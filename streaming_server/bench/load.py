"""`run.py bench`: first audio, underruns and cost under load, compared with a bare socket."""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from dataclasses import replace

from rich.console import Console

from streaming_server.bench.chores import ChoreName, Chores
from streaming_server.bench.command import BenchCommand
from streaming_server.bench.comparison import compared
from streaming_server.bench.doors import DIRECT, GATEWAY, PLAIN, in_turn, names_of
from streaming_server.bench.engine_alone import EngineAlone, measure_engine, needed_by_session
from streaming_server.bench.gateway import gateway_to
from streaming_server.bench.load_run import LoadPlan, LoadRun
from streaming_server.bench.recording import RecordedFrames, record
from streaming_server.bench.report import Limit, Report
from streaming_server.bench.row import Row
from streaming_server.bench.script import replies
from streaming_server.bench.session import Workload
from streaming_server.bench.soak import SECONDS, SESSIONS, SoakRun, soak
from streaming_server.bench.soak_report import SoakReport
from streaming_server.bench.subject import Subject, bare_socket, free_port, started_subject
from streaming_server.bench.wires import Native, Wire, wire_of
from streaming_server.engines.selection import select_engine
from streaming_server.errors import SpeechError
from streaming_server.settings import Settings
from streaming_server.web.assembly import worker_devices

REPLIES = 64
PAPER_WIDTH = 170
"""Width of the table in columns when it is not printed to a terminal."""
REST_S = 1.0
"""Pause between rows, in which the server cleans up."""


def bench(command: BenchCommand) -> int:
    """Run the command and return its exit status. Raise SpeechError."""
    import uvloop

    _allow_many_sockets()
    if command.engine_alone and command.url is not None:
        raise SpeechError("--engine-alone measures an engine of this machine; leave out --url.")
    if command.engine_alone and command.soak:
        raise SpeechError("--engine-alone and --soak are two measurements; choose one.")
    if command.soak:
        return _soak(command)
    with (
        started_subject(command) as (subject, ready_s),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        idle_mib = subject.gauge.memory_mib() if subject.gauge else None
        recording = runner.run(record(subject.address))
        runs = [_Runs(command, subject, runner)]
        if command.door:
            runs = _doors(command, subject, runner)
        elif command.gateway:
            runs = _gateway(command, subject, runner)
        elif command.beside is not None:
            runs = _beside(command, subject, runner, command.beside)
        else:
            runs[0].run()
            if not command.no_ceiling:
                with bare_socket(recording) as ceiling:
                    runs.append(_Runs(command, ceiling, runner))
                    runs[1].run()
    engine = _engine_alone(command, recording) if command.engine_alone else None
    _progress("")
    rows = [row for run in runs for row in run.rows]
    limits = [run.limit for run in runs if run.limit is not None]
    doors = compared(rows) if command.door or command.gateway else []
    _print(Report(ready_s, idle_mib, rows, limits, doors, engine), command)
    return 0


def _soak(command: BenchCommand) -> int:
    """Run the soak and return 1 if it was not clean. Raise SpeechError."""
    if command.url is not None:
        raise SpeechError("--soak kills workers, so it cannot be combined with --url.")
    given = command.model_fields_set
    run = SoakRun(
        command.sessions[0] if "sessions" in given else SESSIONS,
        command.seconds if "seconds" in given else SECONDS,
        command.ramp,
        command.seed,
    )
    with started_subject(command) as (subject, _):
        report = asyncio.run(soak(subject, _workload(command), run, _progress))
    _progress("")
    _print(report, command)
    return 1 if report.faults else 0


def _print(report: Report | SoakReport, command: BenchCommand) -> None:
    if command.as_json:
        print(report.json())
    else:
        report.show(Console(width=None if sys.stdout.isatty() else PAPER_WIDTH))


def _doors(command: BenchCommand, subject: Subject, runner: asyncio.Runner) -> list[_Runs]:
    """Measure the protocols and the native websocket in alternating windows."""
    runs = {}
    for name in names_of(command.door):
        wire = Native if name == PLAIN else wire_of(name)
        runs[name] = _Runs(command, subject.at_door(name), runner, wire)
    return _alternate(command, runs)


def _gateway(command: BenchCommand, subject: Subject, runner: asyncio.Runner) -> list[_Runs]:
    """Measure the server and the server behind a gateway in alternating windows."""
    port = free_port()
    with gateway_to(subject.address, port) as pid:
        behind = replace(
            subject,
            name=GATEWAY,
            address=replace(subject.address, host="127.0.0.1", port=port),
            gauge=subject.gauge and subject.gauge.with_process(pid),
        )
        ways = [replace(subject, name=DIRECT), behind]
        return _alternate(command, {way.name: _Runs(command, way, runner) for way in ways})


def _alternate(command: BenchCommand, runs: dict[str, _Runs]) -> list[_Runs]:
    for sessions in command.sessions:
        for round_, name in in_turn(list(runs), command.rounds):
            _announce(f"round {round_ + 1} of {command.rounds}: ", end="")
            runs[name].row(sessions)
    return list(runs.values())


def _beside(command: BenchCommand, subject: Subject, runner: asyncio.Runner, name: ChoreName) -> list[_Runs]:
    """Measure each row twice, without and with background requests."""
    alone = _Runs(command, subject, runner)
    beside = _Runs(command, replace(subject, name=f"{subject.name}, {name}"), runner)
    for sessions in command.sessions:
        alone.row(sessions)
        with Chores(name, subject.address) as chores:
            beside.row(sessions)
        _announce(f"{name}: {chores.done} background requests")
    return [alone, beside]


def _engine_alone(command: BenchCommand, recording: RecordedFrames) -> EngineAlone:
    """Measure the engine of the server that was started, on its devices. Raise SpeechError."""
    _announce("engine alone")
    settings = Settings()
    if command.max_workers is not None:
        settings = settings.model_copy(update={"max_workers": command.max_workers})
    engine = select_engine(settings.engine)
    audio_s_per_s = measure_engine(engine, worker_devices(settings, engine.provider), command.seconds)
    return EngineAlone(audio_s_per_s, needed_by_session(_workload(command), recording))


def _workload(command: BenchCommand, wire: type[Wire] = Native) -> Workload:
    texts = replies(REPLIES, random.Random(command.seed), wire)
    return Workload(texts, command.tokens_per_second, command.think, wire)


class _Runs:
    """The rows of one server, or of one of its protocols."""

    def __init__(
        self, command: BenchCommand, subject: Subject, runner: asyncio.Runner, wire: type[Wire] = Native
    ) -> None:
        self.rows: list[Row] = []
        self.limit: Limit | None = None
        self._command = command
        self._subject = subject
        self._runner = runner
        self._plan = LoadPlan(_workload(command, wire), command.ramp, command.seconds, command.seed)

    def run(self) -> None:
        if self._command.find_limit:
            self.limit = self._find_limit()
        else:
            for sessions in self._command.sessions:
                self.row(sessions)

    def _find_limit(self) -> Limit:
        command, held = self._command, 0
        for sessions in range(command.limit_start, command.limit_stop + 1, command.limit_step):
            if not self.row(sessions).sustained:
                return Limit(self._subject.name, held, sessions)
            held = sessions
        return Limit(self._subject.name, held, None)

    def row(self, sessions: int) -> Row:
        async def drive() -> Row:
            return await LoadRun(self._subject, self._plan, sessions, _progress).run()

        _announce(f"{self._subject.name}, {sessions} sessions")
        row = self._runner.run(drive())
        self.rows.append(row)
        time.sleep(REST_S)
        return row


def _allow_many_sockets() -> None:
    """Raise the limit of open files, usually 1024: both ends of every session are on this machine."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _announce(line: str, end: str = "\n") -> None:
    """Print a line that stays, or on a terminal the progress line."""
    if sys.stderr.isatty():
        _progress(line)
    else:
        print(line, end=end, file=sys.stderr, flush=True)


def _progress(line: str) -> None:
    """Overwrite the progress line if stderr is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
