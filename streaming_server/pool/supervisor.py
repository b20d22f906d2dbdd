"""Keeps one worker process alive on one device."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import anyio
import structlog
from anyio.abc import Process

from streaming_server.errors import ProtocolError
from streaming_server.ipc.framing import FrameReader
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
    decode_report,
    encode,
)
from streaming_server.pool.devices import Device
from streaming_server.pool.memory import PressureGauge
from streaming_server.pool.restart import RestartPolicy
from streaming_server.types import (
    DEFAULT_VOICE,
    Audio,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Generation,
    MemoryReport,
    Utterance,
)

WorkerState = Literal["starting", "ready", "restarting", "broken", "stopped"]

HEARTBEAT_S = 1.0
SUSPICIOUS_PINGS = 2
"""Unanswered, they speak against giving a worker more work."""
SILENCE_S = 5.0
"""A worker that has answered no ping for this long is killed. Only time in which the server itself ran
counts: after a pause of its process or machine the answers may still lie unread."""
RELIEVE_EVERY_S = 10.0
"""While pressure lasts, a worker is asked for memory this often."""
CANARY_EVERY_S = 4.0
CANARY_FRESH_S = 10.0
"""`healthy` means that something was really spoken this recently."""
GOODBYE_S = 2.0

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """How to start a worker: what Python runs, and with which arguments of its own.

    start_timeout_s bounds the time until its first spoken word, as far as the server itself ran in it.
    """

    arguments: tuple[str, ...]
    start_timeout_s: float
    program: tuple[str, ...] = ("-m", "streaming_server.worker")


class Owner(Protocol):
    """Who hears of a worker's life."""

    def next_id(self) -> int: ...
    def on_events(self, worker: Supervisor, events: list[Event], step_s: float) -> None: ...
    def on_state(self, worker: Supervisor) -> None: ...
    def on_level(self, worker: Supervisor) -> None: ...


class Supervisor:
    """One device's worker: starts it, listens to it, restarts it when it dies.

    info: what the engine is, known once a worker has been ready. refusal: why the last one could not go on,
    where it said so. load: utterances it was given. contexts: those that live there, speaking or not.
    """

    def __init__(self, device: Device, command: WorkerCommand, owner: Owner) -> None:
        self.device = device
        self.state: WorkerState = "starting"
        self.pid: int | None = None
        self.restarts = 0
        self.name = device.id
        self.info: EngineInfo | None = None
        self.refusal: str | None = None
        self.gauge = PressureGauge()
        self.load = 0
        self.contexts: set[int] = set()
        self._command = command
        self._owner = owner
        self._policy = RestartPolicy()
        self._link: _Link | None = None
        self._pings_unanswered = 0
        self._relieved_at = -math.inf
        self._spoke_at = -math.inf
        self._canary: _Canary | None = None
        self._first_word = anyio.Event()

    @property
    def healthy(self) -> bool:
        """Ready, and has really spoken within the last 10 s."""
        return self.state == "ready" and time.monotonic() - self._spoke_at <= CANARY_FRESH_S

    @property
    def silent(self) -> bool:
        """Whether nothing has come from it for two pings: it may be hanging."""
        return self._pings_unanswered >= SUSPICIOUS_PINGS

    def send(self, message: Request) -> None:
        """Hand a message to the worker; without effect while it is down."""
        if self._link is not None:
            self._link.write(encode(message))

    async def run(self) -> None:
        """Keep the worker alive until cancelled."""
        try:
            while True:
                born = time.monotonic()
                try:
                    reason = await self._live()
                except OSError as error:  # No file descriptors left, say: a death like any other.
                    reason = f"could not be started: {error.strerror}"
                now = time.monotonic()
                delay_s = self._policy.died(now, lived_s=now - born)
                self.restarts += 1
                log.warning("worker died", device=self.device.id, reason=reason, restart_in_s=delay_s)
                self._become("broken" if self._policy.broken else "restarting")
                await anyio.sleep(delay_s)
                self._become("starting")
        finally:
            self._become("stopped")

    async def _live(self) -> str:
        """One process from birth to death; why it ended."""
        self._pings_unanswered = 0
        self._relieved_at = -math.inf
        self._first_word = anyio.Event()
        ours, theirs = socket.socketpair()
        try:
            process = await self._spawn(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.pid = process.pid
        # Known before it is open: a worker that is ready at once is answered at once.
        self._link = link = _Link(self._hear)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
            return await self._watch(link)
        finally:
            with anyio.CancelScope(shield=True):
                await self._bury(process, link)

    async def _spawn(self, link: socket.socket) -> Process:
        fd = link.fileno()
        return await anyio.open_process(
            [
                sys.executable,
                *self._command.program,
                f"--fd={fd}",
                f"--parent={os.getpid()}",
                *self._command.arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=None,
            stderr=None,
            pass_fds=[fd],
            env={name: value for name, value in os.environ.items() if name.upper() != "DIA_API_KEYS"}
            | dict(self.device.environment),
        )

    async def _watch(self, link: _Link) -> str:
        """Wait for the worker's first word, then for its death."""
        if not await self._has_spoken(link):
            return link.reason if link.closed.is_set() else "did not start in time"
        self._become("ready")
        while not link.closed.is_set():
            with anyio.move_on_after(HEARTBEAT_S):
                await link.closed.wait()
                break
            if self._pings_unanswered * HEARTBEAT_S >= SILENCE_S:
                link.abort()  # It would not hear a goodbye.
                await link.closed.wait()
                return "stopped answering"
            self._pings_unanswered += 1
            self.send(Ping())
            self._sing()
        return link.reason

    async def _has_spoken(self, link: _Link) -> bool:
        """Wait for the worker's first word, for as many heartbeats as it may take."""
        for _ in range(math.ceil(self._command.start_timeout_s / HEARTBEAT_S)):
            with anyio.move_on_after(HEARTBEAT_S):
                await link.closed_or(self._first_word)
                break
        return self._first_word.is_set() and not link.closed.is_set()

    async def _bury(self, process: Process, link: _Link) -> None:
        """Nothing of this life remains when this returns."""
        if not link.closed.is_set() and self.state == "ready":
            self.send(Shutdown())
            with anyio.move_on_after(GOODBYE_S):
                await link.closed.wait()
        self._link = None
        self.pid = None
        self._canary = None
        self._spoke_at = -math.inf
        link.abort()
        with suppress(ProcessLookupError):
            process.kill()
        self._become("restarting")
        await process.wait()

    def _hear(self, message: Report) -> None:
        self._pings_unanswered = 0
        match message:
            case Batch(events, step_s):
                self._listen(events, step_s)
            case Memory(report):
                self._take_reading(report)
            case Ready(info, device):
                self.info, self.name = info, device
                log.info("worker ready", device=self.device.id, engine=info.name, slots=info.slots)
                self._sing()
            case Fatal(code, text):
                self.refusal = text
                log.error("worker failed", device=self.device.id, code=code, reason=text)
            case Pong():
                pass

    def _listen(self, events: tuple[Event, ...], step_s: float) -> None:
        theirs = list(events)
        if (canary := self._canary) is not None:
            for event in events:
                if event.utterance == canary.utterance:
                    theirs.remove(event)
                    canary.heard |= isinstance(event, Audio)
                    if isinstance(event, Finished | Failed):
                        self._canary = None
                    if isinstance(event, Finished) and canary.heard:
                        self._prove_alive()
        if theirs:
            if any(isinstance(event, Audio) for event in theirs):
                self._prove_alive()
            self._owner.on_events(self, theirs, step_s)

    def _prove_alive(self) -> None:
        self._spoke_at = time.monotonic()
        self._first_word.set()

    def _take_reading(self, report: MemoryReport) -> None:
        if changed := self.gauge.read(report):
            self._owner.on_level(self)
        now = time.monotonic()
        if self.gauge.level != "normal" and (changed or now - self._relieved_at >= RELIEVE_EVERY_S):
            self._relieved_at = now
            self.send(Relieve())

    def _sing(self) -> None:
        """Have something short spoken when nothing has been heard for a while."""
        now = time.monotonic()
        if self._canary is None and now - self._spoke_at >= CANARY_EVERY_S:
            canary = Utterance(
                self._owner.next_id(), 0, "Ready.", DEFAULT_VOICE, Generation(max_tokens=100), deadline=now
            )
            self._canary = _Canary(canary.id)
            self.send(Submit(canary))

    def _become(self, state: WorkerState) -> None:
        if state != self.state:
            self.state = state
            self._owner.on_state(self)


@dataclass(slots=True)
class _Canary:
    """An utterance nobody hears, spoken to show that the worker can."""

    utterance: int
    heard: bool = False


class _Link(asyncio.Protocol):
    """The server's end of the pipe, read by the event loop."""

    def __init__(self, hear: Callable[[Report], None]) -> None:
        self._hear = hear
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self.closed = anyio.Event()
        self.reason = "exited"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it.

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                self._hear(decode_report(frame))
        except ProtocolError as error:
            self.reason = f"broke the protocol: {error.message}"
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.closed.set()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def closed_or(self, event: anyio.Event) -> None:
        """Return when the pipe is closed or the event has happened, whichever is first."""
        async with anyio.create_task_group() as group:

            async def wait(something: anyio.Event) -> None:
                await something.wait()
                group.cancel_scope.cancel()

            group.start_soon(wait, event)
            group.start_soon(wait, self.closed)
