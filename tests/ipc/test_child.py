"""Child processes are started, waited for and stopped within bounds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import anyio
import psutil
import pytest
from helpers.unreapable import unreapable
from structlog.testing import capture_logs

from streaming_server.ipc import child as harness
from streaming_server.ipc.child import (
    REAP_S,
    Child,
    Priority,
    exit_status,
    inherited_environment,
    spawn,
    spawn_connected,
    wait_for_exit,
)

pytestmark = pytest.mark.anyio

SLEEP = ["sleep", "60"]


async def test_stop_kills_and_reaps() -> None:
    child = spawn(SLEEP, os.environ)
    assert child.returncode is None
    await child.stop()
    assert child.returncode == -signal.SIGKILL
    assert not psutil.pid_exists(child.pid)
    await child.stop()


async def test_stop_lets_a_process_exit_by_itself() -> None:
    child = spawn(["sh", "-c", "sleep 0.2; exit 3"], os.environ)
    await child.stop(grace_s=20)
    assert child.returncode == 3


@pytest.mark.parametrize(
    ("returncode", "status"),
    [(0, "status 0"), (3, "status 3"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-99, "signal 99")],
)
def test_the_exit_status_names_the_signal(returncode: int, status: str) -> None:
    assert exit_status(returncode) == status


async def test_wait_ends_with_the_process_or_the_time() -> None:
    child = spawn(SLEEP, os.environ)
    assert await child.wait(0.05) is None
    os.kill(child.pid, signal.SIGTERM)
    assert await child.wait(20) == -signal.SIGTERM


async def test_wait_works_where_the_kernel_does_not_announce_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(harness.sys, "platform", "darwin")
    child = spawn(["sh", "-c", "exit 3"], os.environ)
    assert await child.wait(20) == 3


async def test_stop_of_a_process_that_cannot_be_reaped_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    child = spawn(SLEEP, os.environ)
    started = time.monotonic()
    with capture_logs() as logs, unreapable(monkeypatch):
        await child.stop()
    assert REAP_S <= round(time.monotonic() - started, 2) < REAP_S + 3  # Timers are exact to 1 ms.
    (line,) = logs
    assert (line["log_level"], line["pid"]) == ("warning", child.pid)


async def test_stop_is_not_cut_short_by_cancellation() -> None:
    child = spawn(SLEEP, os.environ)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await child.stop()
    assert not psutil.pid_exists(child.pid)


async def test_waiting_leaves_no_file_descriptors() -> None:
    before = psutil.Process().num_fds()
    child = spawn(SLEEP, os.environ)
    for _ in range(3):
        await child.wait(0.01)
    await child.stop()
    assert psutil.Process().num_fds() == before


async def test_a_connected_child_gets_a_socket_and_the_servers_pid() -> None:
    program = (
        "import socket, sys;"
        "fd, parent, word = (part.rpartition('=')[2] for part in sys.argv[1:]);"
        "socket.socket(fileno=int(fd)).sendall(f'{parent} {word}'.encode())"
    )
    child, ours = spawn_connected(("-c", program), ["--word=hello"], os.environ)
    with ours:
        ours.settimeout(20)
        received = b""
        while piece := await anyio.to_thread.run_sync(ours.recv, 100):
            received += piece
    assert received == f"{os.getpid()} hello".encode()
    assert await child.wait(20) == 0


async def test_a_program_that_does_not_exist_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = psutil.Process().num_fds()
    with pytest.raises(FileNotFoundError):
        spawn_connected(("-c", ""), [], os.environ)
    assert psutil.Process().num_fds() == before


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")
@pytest.mark.parametrize(
    ("priority", "nice", "scheduler"),
    [("normal", 0, "SCHED_OTHER"), ("low", 10, "SCHED_OTHER"), ("idle", 10, "SCHED_IDLE")],
)
async def test_priority(priority: Priority, nice: int, scheduler: str) -> None:
    child = spawn(SLEEP, os.environ, priority=priority)
    assert os.sched_getscheduler(child.pid) == getattr(os, scheduler)
    assert psutil.Process(child.pid).nice() >= nice
    await child.stop()


async def test_own_group_stays_in_the_session() -> None:
    child = spawn(SLEEP, os.environ, own_group=True)
    assert os.getpgid(child.pid) == child.pid
    assert os.getsid(child.pid) == os.getsid(0)
    await child.stop()


def test_inherited_environment_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIA_API_KEYS", "HF_TOKEN", "CUDA_HOME", "TZ", "LC_ALL"):
        monkeypatch.setenv(name, name)
    assert not {"DIA_API_KEYS", "HF_TOKEN", "CUDA_HOME", "TZ"} & inherited_environment().keys()
    assert inherited_environment().keys() >= {"PATH", "LC_ALL"}
    assert inherited_environment({"TZ"}, ("CUDA_",)).keys() >= {"PATH", "TZ", "CUDA_HOME"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's death")
@pytest.mark.parametrize("pause", [False, True], ids=["running", "stopped"])
def test_a_child_dies_with_its_parent(pause: bool) -> None:
    """Even if it is stopped when the parent is killed."""
    child = (
        "import sys, time; from streaming_server.ipc.parent import end_with_parent, ignore_signals;"
        "ignore_signals(); end_with_parent(int(sys.argv[2].rpartition('=')[2])); print('up', flush=True);"
        "time.sleep(60)"
    )
    parent = (
        "import os, sys, time; from streaming_server.ipc.child import spawn_connected;"
        "one, link = spawn_connected(('-c', sys.argv[1]), [], os.environ, stdout=None);"
        "print(one.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent, child], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = {server.stdout.readline().strip(), server.stdout.readline().strip()}
        (pid,) = lines - {"up"}
        process = psutil.Process(int(pid))
        if pause:
            process.suspend()
        server.kill()
        psutil.wait_procs([process], timeout=20)
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_child_whose_parent_is_gone_exits_at_once() -> None:
    program = "from streaming_server.ipc.parent import end_with_parent; end_with_parent(1 << 22); print('on')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20)
    assert (ended.returncode, ended.stdout) == (0, b"")


def test_a_child_ignores_the_signals_of_its_group() -> None:
    program = (
        "import os, signal; from streaming_server.ipc.parent import ignore_signals; ignore_signals();"
        "os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGTERM); print('on')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20)
    assert ended.stdout == b"on\n"


async def test_the_default_waiter_reaps() -> None:
    process = await anyio.to_thread.run_sync(subprocess.Popen, ["true"])
    await wait_for_exit(process)
    assert Child(process).returncode == 0
