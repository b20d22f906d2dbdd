"""Keeps one worker process alive on one device."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from dataclasses import dataclass
from typing import Literal, Protocol

import anyio
import structlog

from streaming_server.ipc.child import SECRETS, Child, environment_without, exit_status, spawn_connected
from streaming_server.ipc.messages import (
    Batch,
    Fatal,
    Memory,
    Ping,
    Pong,
    Ready,
    Relieve,
    Report,
    Request,
    Shutdown,
    Submit,
)
from streaming_server.pool.devices import Device
from streaming_server.pool.link import WorkerLink
from streaming_server.pool.memory import PressureGauge
from streaming_server.pool.restart import RestartPolicy
from streaming_server.pool.speech_check import SpeechCheck
from streaming_server.types import EngineInfo, Event, MemoryReport

WorkerState = Literal["starting", "ready", "restarting", "broken", "stopped"]

HEARTBEAT_S = 0.5
"""Interval between two pings."""
SILENT_PINGS = 3
"""A worker with this many unanswered pings, the first of them a second old, is called silent."""
SILENCE_S = 5.0
"""A worker that has answered no ping for this long is killed. Only time in which the server itself ran
counts: after a pause of its process or machine the answers may still lie unread."""
RELIEVE_EVERY_S = 10.0
"""Interval between two requests for memory while pressure lasts."""
SHUTDOWN_S = 2.0
"""Seconds a worker may take to exit after `Shutdown` before it is killed."""
EXIT_S = 1.0
"""Seconds that a worker which has closed its link may take to exit before it is killed."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """The command line of a worker: what Python runs, and the arguments after `--fd` and `--parent`.

    start_timeout_s: limit for the time until its first sound; only time in which the server ran counts.
    """

    arguments: tuple[str, ...]
    start_timeout_s: float
    program: tuple[str, ...] = ("-m", "streaming_server.worker")


class Observer(Protocol):
    """The pool, as its supervisors see it."""

    def next_id(self) -> int: ...
    def on_events(self, events: list[Event], step_s: float) -> None: ...
    def is_paused(self, worker: Supervisor) -> bool: ...
    def on_state(self, worker: Supervisor) -> None: ...
    def on_level(self, worker: Supervisor) -> None: ...


class Supervisor:
    """One device's worker: starts it, checks that it really speaks, restarts it when it dies.

    info: the engine's description, known once a worker has been ready. failure: the error that a process
    reported, or why none could start, as a sentence. load: utterances dispatched to it. contexts: those that
    live on it, speaking or not.
    """

    def __init__(self, device: Device, command: WorkerCommand, observer: Observer) -> None:
        self.device = device
        self.state: WorkerState = "starting"
        self.pid: int | None = None
        self.restarts = 0
        self.name = device.id
        self.info: EngineInfo | None = None
        self.failure: str | None = None
        self.gauge = PressureGauge()
        self.load = 0
        self.contexts: set[int] = set()
        self._command = command
        self._observer = observer
        self._policy = RestartPolicy()
        self._link: WorkerLink | None = None
        self._pings_unanswered = 0
        self._relieved_at = -math.inf
        self._ready_at = math.inf
        self._speech = self._new_speech_check()

    @property
    def healthy(self) -> bool:
        """True if it is ready and has produced sound recently."""
        return self.state == "ready" and self._speech.fresh

    @property
    def silent(self) -> bool:
        """True if it has not answered a ping for a second; it may be hanging."""
        return self._pings_unanswered >= SILENT_PINGS

    def send(self, request: Request) -> None:
        """Send a request to the worker; does nothing while it is down."""
        if self._link is not None:
            self._link.send(request)

    async def run(self) -> None:
        """Keep the worker alive until cancelled."""
        try:
            while True:
                try:
                    reason = await self._run_process()
                except OSError as error:  # Out of file descriptors, say: handled like any other death.
                    reason = f"could not be started: {error.strerror}"
                now = time.monotonic()
                delay_s = self._policy.died(now, lived_s=max(0.0, now - self._ready_at))
                self.restarts += 1
                if self._ready_at == math.inf and self._policy.start_failed:
                    self._fail_start(reason)
                log.warning("worker died", device=self.device.id, reason=reason, restart_in_s=delay_s)
                self._set_state("broken" if self._policy.broken else "restarting")
                await anyio.sleep(delay_s)
                self._set_state("starting")
        finally:
            self._set_state("stopped")

    async def _run_process(self) -> str:
        """Run one process from start to exit; return why it ended. Raise OSError."""
        self._pings_unanswered = 0
        self._relieved_at = -math.inf
        self._ready_at = math.inf
        self._speech = self._new_speech_check()
        environment = environment_without(SECRETS)  # Its engine may be third-party code.
        child, ours = spawn_connected(
            self._command.program,
            self._command.arguments,
            environment | dict(self.device.environment),
            stdout=None,
        )
        self.pid = child.pid
        # Set before it is connected, so that the first report can be answered.
        self._link = link = WorkerLink(self.on_report)
        exits = False
        try:
            await _connect(link, ours)
            fault = await self._supervise(link)
            exits = fault is None
        finally:
            with anyio.CancelScope(shield=True):
                status = await self._terminate(child, link, exits=exits)
        return fault or (f"exited ({status})" if status else "exited")

    async def _supervise(self, link: WorkerLink) -> str | None:
        """Wait for the worker's first sound, then until it dies or has to be terminated.

        Return what it did wrong, as a predicate; None if it exited.
        """
        if not await self._has_spoken(link):
            if link.closed.is_set():
                return link.fault
            late = "did not start in time"
            self._fail_start(late)
            return late
        self._ready_at = time.monotonic()
        self._set_state("ready")
        while not link.closed.is_set():
            with anyio.move_on_after(HEARTBEAT_S):
                await link.closed.wait()
                break
            if self._pings_unanswered * HEARTBEAT_S >= SILENCE_S:
                link.abort()  # It would not read `Shutdown`.
                await link.closed.wait()
                return "stopped answering"
            if self._speech.mute:
                link.abort()
                await link.closed.wait()
                return "produced no sound"
            self._pings_unanswered += 1
            self.send(Ping())
            self._speech.beat(paused=self._observer.is_paused(self))
        return link.fault

    async def _has_spoken(self, link: WorkerLink) -> bool:
        """Wait for the worker's first sound, for as many heartbeats as it may take."""
        for _ in range(math.ceil(self._command.start_timeout_s / HEARTBEAT_S)):
            with anyio.move_on_after(HEARTBEAT_S):
                await link.closed_or(self._speech.first_sound)
                break
            self._speech.beat()
        return self._speech.first_sound.is_set() and not link.closed.is_set()

    def _fail_start(self, reason: str) -> None:
        """Set `failure` unless the worker itself has reported why."""
        self.failure = self.failure or f"Worker {self.device.id} could not start: it {reason}."

    async def _terminate(self, child: Child, link: WorkerLink, *, exits: bool) -> str | None:
        """Terminate the process and close its pipe; return the exit status of one that `exits` by itself."""
        if not link.closed.is_set() and self.state == "ready":
            self.send(Shutdown())
            with anyio.move_on_after(SHUTDOWN_S):
                await link.closed.wait()
        self._link = None
        self.pid = None
        link.abort()
        self._set_state("restarting")
        code = await child.wait(EXIT_S) if exits else None
        await child.stop()
        return exit_status(code) if code is not None else None

    def on_report(self, report: Report) -> None:
        """Handle a report of the worker."""
        self._pings_unanswered = 0
        match report:
            case Batch(events, step_s):
                self._on_batch(events, step_s)
            case Memory(reading):
                self._on_memory(reading)
            case Ready(info, device):
                self.info, self.name = info, device
                log.info("worker ready", device=self.device.id, engine=info.name, slots=info.slots)
                self._speech.begin()
            case Fatal(code, message):
                self.failure = message
                log.error("worker failed", device=self.device.id, code=code, reason=message)
            case Pong():
                pass

    def _on_batch(self, events: tuple[Event, ...], step_s: float) -> None:
        if others := self._speech.follow(events):
            self._observer.on_events(others, step_s)

    def _on_memory(self, reading: MemoryReport) -> None:
        if changed := self.gauge.read(reading):
            self._observer.on_level(self)
        now = time.monotonic()
        if self.gauge.level != "normal" and (changed or now - self._relieved_at >= RELIEVE_EVERY_S):
            self._relieved_at = now
            self.send(Relieve())

    def _new_speech_check(self) -> SpeechCheck:
        """Return the check of a new process."""
        return SpeechCheck(
            self.device.id, self._observer.next_id, lambda utterance: self.send(Submit(utterance))
        )

    def _set_state(self, state: WorkerState) -> None:
        if state != self.state:
            self.state = state
            self._observer.on_state(self)


async def _connect(link: WorkerLink, ours: socket.socket) -> None:
    """Give the link our end of the pipe; close it if that fails. Raise OSError."""
    try:
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
    except BaseException:
        ours.close()
        raise
