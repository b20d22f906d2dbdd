"""Child processes of the server: start one, wait for it, stop it.

The speech worker, the voice-sample decoder and the transcriber are all started here. What a child does on its
own side is in `parent`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import IO, Literal

import anyio
import structlog

Priority = Literal["normal", "low", "idle"]
"""low: a small part of a core that others want too. idle: runs only when no other process
wants the core.

Niceness alone is not enough to keep out of the way of speech. Beside a child of niceness 10 at work, the
server's median first audio grew by half on two cores, because a process that wakes up waits for the end of
the other's turn; beside one in Linux's idle class it did not change.
"""

NICENESS = 10
"""Leaves the process a tenth of a core that another process keeps busy."""

REAP_S = 5.0
"""Seconds to wait for a killed process. Only one in uninterruptible sleep takes longer, perhaps forever."""

POLL_S = 0.01
"""Poll interval where there is no pidfd."""

SECRETS = frozenset(
    {
        "DIA_API_KEYS",
        "DIA_ADMIN_KEYS",
        "DIA_DATABASE",
        "PGPASSWORD",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    }
)
"""Variables that only the server itself needs."""

_ESSENTIAL = frozenset(
    {"PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
)
_ESSENTIAL_PREFIXES = ("PYTHON", "LC_")

log = structlog.stdlib.get_logger(__name__)


async def wait_for_exit(process: subprocess.Popen[bytes]) -> None:
    """Return when the process has exited and has been reaped. Uses no thread, so it can be abandoned."""
    if process.poll() is None and (fd := _open_pidfd(process.pid)) is not None:
        try:
            await anyio.wait_readable(fd)
        finally:
            os.close(fd)
    while process.poll() is None:  # noqa: ASYNC110 - where there is no pidfd, nothing announces the exit
        await anyio.sleep(POLL_S)


def _open_pidfd(pid: int) -> int | None:
    """Return a file descriptor that becomes readable when the process exits, where there are such."""
    if sys.platform == "linux":
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None


class Child:
    """A running child process. `stop` must be called in the end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._process = process

    @property
    def stdout(self) -> IO[bytes] | None:
        """The read end of the child's standard output, if it is a pipe."""
        return self._process.stdout

    @property
    def returncode(self) -> int | None:
        """The exit code, -N if signal N ended the process, None while it runs."""
        return self._process.poll()

    async def wait(self, timeout_s: float) -> int | None:
        """Wait for the exit for a limited time. Return as `returncode`."""
        with anyio.move_on_after(timeout_s):
            await wait_for_exit(self._process)
        return self.returncode

    async def stop(self, grace_s: float = 0.0) -> None:
        """Let the process exit by itself for `grace_s` seconds, then kill it and reap it. Idempotent.

        Cannot be cancelled, and returns within `grace_s` + REAP_S seconds even if the process cannot be
        killed; that is logged.
        """
        with anyio.CancelScope(shield=True):
            if grace_s > 0:
                await self.wait(grace_s)
            if self.returncode is not None:
                return
            self._process.kill()
            with anyio.move_on_after(REAP_S) as reaping:
                await wait_for_exit(self._process)
        if reaping.cancelled_caught:
            _warn_not_reaped(self.pid)


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: int | None = subprocess.DEVNULL,
    stderr: int | None = None,
    pass_fds: Collection[int] = (),
    priority: Priority = "normal",
    own_group: bool = False,
) -> Child:
    """Start a process whose standard input is empty. Raise OSError.

    Call it from a thread that lives as long as the server: Linux kills the child when that thread ends (see
    `parent.end_with_parent`). Blocks for less than a millisecond, a tenth of what the event loop's own way of
    starting a process takes, which forks.

    own_group: keep the signals of a terminal (Ctrl+C) away from it. It stays in the server's session: Linux
    weighs sessions against each other, so a low priority would mean nothing in a session of its own.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        env=environment,
        process_group=0 if own_group else None,
    )
    with suppress(OSError):
        _set_priority(process.pid, priority)  # By the parent: starting is half of a short-lived child's work.
    return Child(process)


def spawn_connected(
    program: Sequence[str],
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: int | None = subprocess.DEVNULL,
    priority: Priority = "normal",
) -> tuple[Child, socket.socket]:
    """Start Python with a socket to the server. Return the child and the server's end. Raise OSError.

    program: what Python runs ("-m", module). It gets `--fd` and `--parent` before its arguments.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        command = [sys.executable, *program, f"--fd={fd}", f"--parent={os.getpid()}", *arguments]
        try:
            child = spawn(command, environment, stdout=stdout, pass_fds=[fd], priority=priority)
        except BaseException:
            ours.close()
            raise
    return child, ours


def exit_status(returncode: int) -> str:
    """Return how a process ended, for a person: the signal's name, or `status N`. See `Child.returncode`."""
    if returncode >= 0:
        return f"status {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:  # A real-time signal.
        return f"signal {-returncode}"


def inherited_environment(
    names: Collection[str] = frozenset(), prefixes: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return what a child needs to find Python and its libraries, and the variables named. No secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _ESSENTIAL or name in names or name.startswith((*_ESSENTIAL_PREFIXES, *prefixes))
    }


def environment_without(names: Collection[str]) -> dict[str, str]:
    """Return this process's variables except those named, in upper case; their own case does not matter."""
    return {name: value for name, value in os.environ.items() if name.upper() not in names}


def _set_priority(pid: int, priority: Priority) -> None:
    if priority == "normal":
        return
    # Set the scheduling class first: lowering the priority can itself cause a context switch.
    if priority == "idle" and sys.platform == "linux":
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, pid, NICENESS)


def _warn_not_reaped(pid: int) -> None:
    log.warning("killed process does not exit; no longer waiting for it", pid=pid, waited_s=REAP_S)
