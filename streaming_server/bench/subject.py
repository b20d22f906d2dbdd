"""The subject of a measurement: a server that is started or given, or the bare socket."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from streaming_server.bench.client import Address
from streaming_server.bench.command import BenchCommand
from streaming_server.bench.gauge import Gauge
from streaming_server.bench.recording import RecordedFrames
from streaming_server.cli.local_server import own_server
from streaming_server.errors import SpeechError, Unavailable

OURS = "server"
BARE = "bare socket"
MOST_CONNECTIONS = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """The server under measurement. gauge: None if its processes are not visible from here."""

    name: str
    address: Address
    gauge: Gauge | None
    wyoming_port: int | None = None

    def at_door(self, name: str) -> Subject:
        """Return the subject under the name of a protocol, with the protocol's own port if it has one."""
        if name != "wyoming":
            return replace(self, name=name)
        assert self.wyoming_port is not None
        return replace(self, name=name, address=replace(self.address, port=self.wyoming_port))


@contextmanager
def started_subject(command: BenchCommand) -> Iterator[tuple[Subject, float | None]]:
    """Yield the server to measure and the seconds it took to become ready. Raise SpeechError."""
    key = command.key.get_secret_value() if command.key else None
    if command.url is not None:
        if "wyoming" in command.door:
            raise SpeechError("--door wyoming cannot be combined with --url.")
        yield Subject(OURS, Address.of(command.url, key), None), None
        return
    options = [f"--max-connections={MOST_CONNECTIONS}"]
    if command.max_workers is not None:
        options.append(f"--max-workers={command.max_workers}")
    wyoming_port = free_port() if "wyoming" in command.door else None
    if wyoming_port is not None:
        options.append(f"--wyoming-port={wyoming_port}")
    started = time.monotonic()
    with own_server(*options) as server:
        ready_s = time.monotonic() - started
        yield Subject(OURS, Address.of(server.url, key), Gauge(server.pid), wyoming_port), ready_s


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def bare_socket(recording: RecordedFrames) -> Iterator[Subject]:
    """Start the bare socket (see `bench.ceiling`) and yield it. Raise Unavailable."""
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
