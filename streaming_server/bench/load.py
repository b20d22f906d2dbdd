"""`run.py bench`: first audio, underruns and cost under load, compared with a bare socket."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, get_args

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict
from rich.console import Console

from streaming_server.bench.chores import ChoreName, Chores
from streaming_server.bench.client import Address
from streaming_server.bench.doors import DIRECT, GATEWAY, PLAIN, compared, in_turn, names_of
from streaming_server.bench.drive import Drive, Plan, Subject
from streaming_server.bench.engine_alone import EngineAlone, measure_engine, needed_by_session
from streaming_server.bench.gateway import gateway_to
from streaming_server.bench.gauge import Gauge
from streaming_server.bench.recording import Recording, record
from streaming_server.bench.report import Limit, Report
from streaming_server.bench.row import Row
from streaming_server.bench.script import replies
from streaming_server.bench.session import Manner
from streaming_server.bench.soak import SECONDS, SESSIONS, Run, SoakReport, soak
from streaming_server.bench.wires import DoorName, Native, Wire, wire_of
from streaming_server.cli.local_server import own_server
from streaming_server.engines.selection import select_engine
from streaming_server.errors import SpeechError, Unavailable
from streaming_server.settings import CommandOptions, Settings, comma_separated
from streaming_server.web.assembly import worker_devices

OURS = "server"
BARE = "bare socket"
REPLIES = 64
MOST_CONNECTIONS = 10_000
PAPER_WIDTH = 170
"""Width of the table in columns when it is not printed to a terminal."""
REST_S = 1.0
"""Pause between rows, in which the server cleans up."""


Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], NoDecode, BeforeValidator(comma_separated)]
Doors = Annotated[tuple[DoorName, ...], NoDecode, BeforeValidator(comma_separated)]


class BenchCommand(CommandOptions):
    """Measure first audio, underruns and cost under load, compared with a bare socket replaying the frames.

    Sessions start at random times during the ramp, which is not measured. Each session streams a reply of two
    to four sentences (three to five seconds) word by word, listens to it in real time, pauses and starts the
    next. A server that is late therefore gets slightly less work.
    """

    model_config = SettingsConfigDict(cli_shortcuts={"as-json": "json"})

    url: str | None = Field(None, description="server to measure; by default one is started")
    key: SecretStr | None = Field(None, description="API key of that server")
    max_workers: int | None = Field(None, ge=1, le=64, description="workers of the server that is started")
    sessions: Counts = Field(
        (1, 50, 200, 400), min_length=1, description="concurrent sessions, comma-separated; one row for each"
    )
    tokens_per_second: float = Field(
        50.0, gt=0, le=150, description="rate at which text arrives, in words per second"
    )
    seconds: float = Field(
        20.0,
        ge=1,
        description="measured seconds of each row; up to three times as many for under five turns",
    )
    ramp: float = Field(10.0, ge=0, description="seconds over which sessions start; not measured")
    think: float = Field(0.5, ge=0, description="mean pause between two replies, in seconds")
    seed: int = Field(1, description="random seed")
    door: Doors = Field(
        (),
        description="compare these protocols with the native websocket, not with the bare socket; "
        f"comma-separated: {', '.join(get_args(DoorName))}",
    )
    rounds: int = Field(
        6, ge=1, description="measurements of each --door or way, in turn; the table shows medians"
    )
    gateway: bool = Field(
        False,
        description="compare the server behind HAProxy, as shipped, with the same server alone, not with "
        "the bare socket; in --rounds",
    )
    beside: ChoreName | None = Field(
        None,
        description="instead of the bare socket, measure each row again while clients upload voice samples "
        "(four, 60 s each), have them transcribed (one, 10 s each) or run mp3 jobs (four)",
    )
    no_ceiling: bool = Field(False, description="do not measure the bare socket")
    engine_alone: bool = Field(
        False,
        description="also measure the audio that the engine makes without a server, and the share of its "
        "sessions that the server holds",
    )
    find_limit: bool = Field(
        False,
        description="add sessions until fewer than 99 % are free of underruns over 100 ms",
    )
    limit_start: int = Field(400, ge=1, description="sessions at which --find-limit starts")
    limit_step: int = Field(200, ge=1, description="sessions that --find-limit adds in each step")
    limit_stop: int = Field(4000, ge=1, description="sessions at which --find-limit stops")
    soak: bool = Field(
        False,
        description="instead, run --sessions (50) for --seconds (600), a tenth of the turns cut short; kill "
        "a worker every two minutes; fail if anything grows, slows down or errs without a reason",
    )
    as_json: bool = Field(False, description="print JSON instead of a table")


def bench(command: BenchCommand) -> int:
    """Run the command and return its exit status. Raises SpeechError."""
    import uvloop

    _allow_many_sockets()
    if command.engine_alone and command.url is not None:
        raise SpeechError("--engine-alone measures an engine of this machine; leave out --url.")
    if command.engine_alone and command.soak:
        raise SpeechError("--engine-alone and --soak are two measurements; choose one.")
    if command.soak:
        return _soak(command)
    with (
        _subject(command) as (subject, ready_s),
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
                with _bare_socket(recording) as ceiling:
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
    """Run the soak and return 1 if it was not clean. Raises SpeechError."""
    if command.url is not None:
        raise SpeechError("--soak kills workers, so it cannot be combined with --url.")
    given = command.model_fields_set
    run = Run(
        command.sessions[0] if "sessions" in given else SESSIONS,
        command.seconds if "seconds" in given else SECONDS,
        command.ramp,
        command.seed,
    )
    manner = Manner(replies(REPLIES, random.Random(command.seed)), command.tokens_per_second, command.think)
    with _subject(command) as (subject, _):
        report = asyncio.run(soak(subject, manner, run, _progress))
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
        runs[name] = _Runs(command, _at_door(replace(subject, name=name)), runner, wire)
    return _alternate(command, runs)


def _gateway(command: BenchCommand, subject: Subject, runner: asyncio.Runner) -> list[_Runs]:
    """Measure the server and the server behind a gateway in alternating windows."""
    port = _free_port()
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


def _at_door(subject: Subject) -> Subject:
    """Return the subject with the protocol's own port, if it has one."""
    if subject.name != "wyoming":
        return subject
    assert subject.wyoming_port is not None
    return replace(subject, address=replace(subject.address, port=subject.wyoming_port))


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


def _engine_alone(command: BenchCommand, recording: Recording) -> EngineAlone:
    """Measure the engine of the server that was started, on its devices. Raises SpeechError."""
    _announce("engine alone")
    settings = Settings()
    if command.max_workers is not None:
        settings = settings.model_copy(update={"max_workers": command.max_workers})
    engine = select_engine(settings.engine)
    audio_s_per_s = measure_engine(engine, worker_devices(settings, engine.provider), command.seconds)
    return EngineAlone(audio_s_per_s, needed_by_session(_manner(command), recording))


def _manner(command: BenchCommand, wire: type[Wire] = Native) -> Manner:
    texts = replies(REPLIES, random.Random(command.seed), wire)
    return Manner(texts, command.tokens_per_second, command.think, wire)


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
        self._plan = Plan(_manner(command, wire), command.ramp, command.seconds, command.seed)

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
            return await Drive(self._subject, self._plan, sessions, _progress).run()

        _announce(f"{self._subject.name}, {sessions} sessions")
        row = self._runner.run(drive())
        self.rows.append(row)
        time.sleep(REST_S)
        return row


@contextmanager
def _subject(command: BenchCommand) -> Iterator[tuple[Subject, float | None]]:
    """Yield the server to measure and the seconds it took to become ready. Raises SpeechError."""
    key = command.key.get_secret_value() if command.key else None
    if command.url is not None:
        if "wyoming" in command.door:
            raise SpeechError("--door wyoming cannot be combined with --url.")
        yield Subject(OURS, Address.of(command.url, key), None), None
        return
    options = [f"--max-connections={MOST_CONNECTIONS}"]
    if command.max_workers is not None:
        options.append(f"--max-workers={command.max_workers}")
    wyoming_port = _free_port() if "wyoming" in command.door else None
    if wyoming_port is not None:
        options.append(f"--wyoming-port={wyoming_port}")
    started = time.monotonic()
    with own_server(*options) as server:
        ready_s = time.monotonic() - started
        yield Subject(OURS, Address.of(server.url, key), Gauge(server.pid), wyoming_port), ready_s


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _bare_socket(recording: Recording) -> Iterator[Subject]:
    """Start the bare socket (see `bench.ceiling`) and yield it. Raises Unavailable."""
    command = [sys.executable, "-m", "streaming_server.bench.ceiling"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(recording.model_dump_json().encode())
            process.stdin.close()
            port = process.stdout.readline()
            if not port:
                raise Unavailable("The bare socket could not be started.")
            yield Subject(BARE, Address("127.0.0.1", int(port)), Gauge(process.pid))
        finally:
            process.kill()


def _allow_many_sockets() -> None:
    """Raise the limit of open files, usually 1024: both ends of every session are on this machine."""
    if sys.platform != "win32":
        import resource

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
