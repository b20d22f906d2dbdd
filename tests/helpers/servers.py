"""Real servers in separate processes."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil

from helpers.forked import ROOT, ForkedProcess

START_TIMEOUT_S = 60.0
FIRST_PORT, PORTS_EACH, RUNNERS = 10_000, 1_000, 20
"""Ports below the ephemeral range, with a separate range for each process of pytest-xdist."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: ForkedProcess | subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Send a GET; return the status and the body, parsed if it is JSON."""
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw.decode()

    def ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def workers(self) -> list[dict[str, Any]]:
        return [device["worker"] for device in self.get("/gpu/status")[1]["devices"]]

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over its samples with these labels."""
        samples = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        return sum(float(value) for said, value in samples if wanted <= set(said.split(",")))

    def logged(self) -> str:
        return self.log.read_text()

    def until_logged(self, text: str) -> str:
        """Wait until a text is in the log, which the server writes in a thread; return the log."""
        until(lambda: text in self.logged())
        return self.logged()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """Wait until a condition is true; return its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {timeout_s} s: {condition}")
        time.sleep(0.01)
    return value


def steady(measure: Callable[[], float], seconds: float, tolerance: float = 0.0) -> float:
    """Wait until a measure has not risen by more than `tolerance` for so long; return the highest."""
    highest, since = measure(), time.monotonic()
    while time.monotonic() - since < seconds:
        if (now := measure()) > highest + tolerance:
            highest, since = now, time.monotonic()
        time.sleep(0.05)
    return highest


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; zombies do not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def established(server: Server) -> int:
    """Return the number of established connections of the server."""
    connections = psutil.Process(server.process.pid).net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == server.port for one in connections)


@cache
def _ports() -> Iterator[int]:
    """Iterate over this process's ports in random order, so that none is used twice before all were."""
    runner = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % RUNNERS
    first = FIRST_PORT + PORTS_EACH * runner
    return cycle(random.sample(range(first, first + PORTS_EACH), PORTS_EACH))


def free_port() -> int:
    """Return a port outside the range for outgoing connections, distinct from ports of other processes."""
    for port in islice(_ports(), PORTS_EACH):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@contextmanager
def running_server(
    log: Path, *options: str, port: int | None = None, forked: bool = True, **environment: str
) -> Iterator[Server]:
    """A server with these options and DIA_* variables, ready to speak; gone afterwards.

    What an option or a variable does not say is chosen to start fast: eSpeak NG, in one worker, and no
    transcription, which would load PyTorch. Unless `forked`, Python is started anew, and its exit status
    tells how it was finalized.
    """
    port = port or free_port()
    arguments = [f"--port={port}", *options]
    # Python reads other variables when it starts.
    if not forked or any(not name.startswith("DIA_") for name in environment):
        with running_process(log, ["run.py", *arguments], port, environment, signals=2) as server:
            yield server
        return
    log.touch()
    process = ForkedProcess(arguments, _variables(log, environment), log)
    with _until_ready(Server(process, port, log), signals=2) as server:
        yield server


@contextmanager
def running_process(
    log: Path, arguments: Sequence[str], port: int, environment: Mapping[str, str], *, signals: int
) -> Iterator[Server]:
    """Run Python with these arguments and DIA_* variables until it is ready; end it with so many SIGTERMs."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=_variables(log, environment),
            stdout=output,
            stderr=output,
        )
    with _until_ready(Server(process, port, log), signals=signals) as server:
        yield server


def _variables(log: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return a server's environment: ours without its DIA_* variables, the usual ones, and those given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIA_")}
    return {
        **clean,
        "DIA_DATA_DIR": str(log.with_suffix(".data")),
        "DIA_ENGINE": "espeak",
        "DIA_MAX_WORKERS": "1",
        "DIA_WHISPER_MODEL": str(log.with_name("no-weights.pt")),
        **given,
    }


@contextmanager
def _until_ready(server: Server, *, signals: int) -> Iterator[Server]:
    """Wait until a server is ready; end it afterwards with so many SIGTERMs."""
    process = server.process
    try:
        until(lambda: process.poll() is not None or server.ready(), START_TIMEOUT_S)
        assert process.poll() is None, server.logged()
        yield server
    finally:
        if process.poll() is None:
            for _ in range(signals):
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
