"""Messages to the worker, and when the supervisor restarts it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import pytest
from helpers.servers import Server, until
from structlog.testing import capture_logs

import streaming_server
from streaming_server.pool import restart, speech_check, supervisor
from streaming_server.pool.devices import Device
from streaming_server.pool.pool import Pool
from streaming_server.pool.supervisor import SILENCE_S, WorkerCommand
from streaming_server.types import DEFAULT_VOICE, Generation, Utterance, Voice, VoiceSample

pytestmark = pytest.mark.anyio

PUPPET = (str(Path(__file__).parents[1] / "helpers" / "puppet.py"),)
PACKAGES = str(Path(streaming_server.__file__).parent.parent)


class Puppet:
    """A pool of one puppet and the messages the puppet has received."""

    def __init__(self, pool: Pool, notes: Path) -> None:
        self.pool = pool
        self._notes = notes

    @property
    def heard(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []

    async def until(self, condition: Callable[[list[str]], bool]) -> list[str]:
        with anyio.fail_after(30):
            while not condition(self.heard):
                await anyio.sleep(0.02)
        return self.heard


@asynccontextmanager
async def puppet(
    folder: Path,
    *readings: int,
    utterances: int = 1 << 30,
    failures: int = 0,
    unfinished: bool = False,
    garbage: str | None = None,
    start_timeout_s: float = 20,
) -> AsyncIterator[Puppet]:
    notes = folder / "notes"
    used = ",".join(map(str, readings or (10,)))
    options: tuple[str, ...] = (f"--notes={notes}", f"--used={used}", f"--utterances={utterances}")
    options += (f"--failures={failures}", *(["--unfinished"] if unfinished else []))
    options += (f"--garbage={garbage}",) if garbage is not None else ()
    command = WorkerCommand(options, start_timeout_s, program=PUPPET)
    pool = Pool([Device("cpu_0", {"PYTHONPATH": PACKAGES})], command)
    async with pool.running():
        yield Puppet(pool, notes)


async def test_a_pause_of_the_server_kills_no_worker(start_server: Callable[..., Server]) -> None:
    """Replies that arrived during the pause are still unread; the workers were not silent."""
    server = start_server("--max-workers=2")
    until(lambda: all(worker["state"] == "ready" for worker in server.workers()))
    before = server.workers()
    server.process.send_signal(signal.SIGSTOP)
    await anyio.sleep(SILENCE_S + 2)  # A worker silent for that long would be killed.
    server.process.send_signal(signal.SIGCONT)
    until(server.ready)
    assert [worker["pid"] for worker in server.workers()] == [worker["pid"] for worker in before]
    assert [worker["restarts"] for worker in server.workers()] == [0, 0]


async def test_a_blocked_event_loop_kills_no_worker(tmp_path: Path) -> None:
    async with puppet(tmp_path) as one:
        await one.until(lambda heard: "Ping" in heard)
        (worker,) = one.pool.workers
        before = worker.pid
        time.sleep(SILENCE_S + 1)  # noqa: ASYNC251 - blocks the loop as a pause of the process does
        heard = len(one.heard)
        await one.until(lambda notes: notes[heard:].count("Ping") >= 2)
        assert (worker.pid, worker.restarts) == (before, 0)


async def test_a_worker_has_none_of_the_servers_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in lower case either: the settings are read in any case."""
    server = ["DIA_API_KEYS", "DIA_ADMIN_KEYS", "DIA_DATABASE", "dia_database"]
    for name in [*server, "PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]:
        monkeypatch.setenv(name, "secret")
    async with puppet(tmp_path) as one:
        await one.until(lambda heard: "Ping" in heard)
        inherited = psutil.Process(one.pool.workers[0].pid).environ()
        assert [name for name, value in inherited.items() if value == "secret"] == []


async def test_a_stopped_worker_is_killed_within_ten_seconds(tmp_path: Path) -> None:
    """It takes five or six."""
    async with puppet(tmp_path) as one:
        await one.until(lambda heard: "Ping" in heard)
        before = one.pool.workers[0].pid
        assert before is not None
        os.kill(before, signal.SIGSTOP)
        stopped = time.monotonic()
        with anyio.fail_after(30):
            while psutil.pid_exists(before):
                await anyio.sleep(0.02)
        assert SILENCE_S - supervisor.HEARTBEAT_S < time.monotonic() - stopped < 10
        heard = one.heard.count("Submit")
        await one.until(lambda notes: notes.count("Submit") > heard)


@pytest.mark.parametrize(
    "garbage",
    [
        '["submit", {}]',
        '["batch", 0.5, [["a", 1, -4]]]',
        pytest.param('["nothing"]', marks=pytest.mark.slow),
        pytest.param("{", marks=pytest.mark.slow),
    ],
)
async def test_a_worker_that_sends_a_malformed_message_is_restarted(tmp_path: Path, garbage: str) -> None:
    async with puppet(tmp_path, garbage=garbage) as one:
        await one.until(lambda heard: "Submit" in heard)
        (worker,) = one.pool.workers
        before = worker.pid
        assert before is not None
        with anyio.fail_after(20):
            while worker.restarts == 0:
                await anyio.sleep(0.01)
        assert not psutil.pid_exists(before)
        heard = one.heard.count("Submit")
        await one.until(lambda notes: notes.count("Submit") > heard)


async def test_the_log_says_how_a_worker_died(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with puppet(tmp_path) as one:
            await one.until(lambda heard: "Ping" in heard)
            (worker,) = one.pool.workers
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGSEGV)
            with anyio.fail_after(20):
                while worker.restarts == 0:
                    await anyio.sleep(0.01)
    (died,) = [line for line in logs if line["event"] == "worker died"]
    assert died["reason"] == "exited (SIGSEGV)"


async def test_workers_that_never_speak_in_time_fail_the_start(tmp_path: Path) -> None:
    async with puppet(tmp_path, utterances=0, start_timeout_s=0.5) as one:
        with anyio.fail_after(30):
            reason = await one.pool.start_failed()
    assert reason == "Worker cpu_0 could not start: it did not start in time."


async def test_the_time_until_a_worker_is_ready_does_not_count_as_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "BREAKER_WINDOW_S", 0.5)
    with capture_logs() as logs:
        async with puppet(tmp_path, utterances=0, start_timeout_s=1.0) as one:
            await one.until(lambda heard: heard.count("Submit") >= 3)
    died = [line for line in logs if line["event"] == "worker died"]
    assert [line["restart_in_s"] for line in died[:2]] == [1, 2]


async def test_a_worker_that_never_speaks_is_restarted(tmp_path: Path) -> None:
    async with puppet(tmp_path, utterances=0, start_timeout_s=1.0) as one:
        await one.until(lambda heard: heard.count("Submit") >= 2)
        assert one.pool.workers[0].restarts >= 1
        assert not one.pool.healthy


async def test_a_worker_without_recent_sound_is_not_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answering pings is not enough."""
    monkeypatch.setattr(speech_check, "CANARY_EVERY_S", 0.2)
    monkeypatch.setattr(speech_check, "CANARY_FRESH_S", 1.0)
    async with puppet(tmp_path, utterances=1) as one:
        with anyio.fail_after(20):
            while not one.pool.healthy:
                await anyio.sleep(0.01)
            while one.pool.healthy:
                await anyio.sleep(0.01)
        (worker,) = one.pool.workers
        assert (worker.state, worker.restarts) == ("ready", 0)


async def test_a_starting_worker_whose_canary_fails_is_sent_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_check, "CANARY_EVERY_S", 0.2)
    with capture_logs() as logs:
        async with puppet(tmp_path, failures=2) as one:
            await one.until(lambda heard: "Ping" in heard)
            assert one.pool.healthy
            assert one.pool.workers[0].restarts == 0
    failed = [line for line in logs if line["event"] == "canary failed"]
    assert [(line["device"], line["code"], line["reason"]) for line in failed] == [
        ("cpu_0", "engine_failure", "out of memory")
    ] * 2


async def test_a_worker_that_produces_no_sound_any_more_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_check, "CANARY_EVERY_S", 0.2)
    monkeypatch.setattr(speech_check, "MUTE_BEATS", 3)
    with capture_logs() as logs:
        async with puppet(tmp_path, utterances=1) as one:
            (worker,) = one.pool.workers
            with anyio.fail_after(30):
                while worker.restarts == 0:
                    await anyio.sleep(0.01)
    assert "produced no sound" in [line.get("reason") for line in logs]


async def test_a_worker_is_not_restarted_while_an_utterance_waits_for_its_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold the slot that the canary waits for."""
    monkeypatch.setattr(speech_check, "CANARY_EVERY_S", 0.2)
    monkeypatch.setattr(speech_check, "MUTE_BEATS", 2)
    async with puppet(tmp_path, utterances=2, unfinished=True) as one:
        (worker,) = one.pool.workers
        channel = one.pool.open(lambda: None)
        with anyio.fail_after(30):
            while not one.pool.healthy:
                await anyio.sleep(0.01)
            ids = one.pool.next_id(), channel.context
            channel.submit(Utterance(*ids, "Hello.", DEFAULT_VOICE, Generation(), time.monotonic()))
            while not channel.buffered:
                await anyio.sleep(0.01)
        pings = one.heard.count("Ping")
        await one.until(lambda heard: heard.count("Ping") >= pings + 6)
        assert worker.restarts == 0
        channel.take()
        with anyio.fail_after(30):
            while worker.restarts == 0:
                await anyio.sleep(0.01)


async def test_memory_is_requested_once_when_a_level_begins(tmp_path: Path) -> None:
    async with puppet(tmp_path, 50, *[90] * 40, *[99] * 40, 50, *[90] * 40, 50) as one:
        heard = await one.until(lambda heard: heard.count("Ping") >= 3)
    assert heard.count("Relieve") == 3


async def test_memory_is_not_requested_without_pressure(tmp_path: Path) -> None:
    async with puppet(tmp_path, *[84] * 10) as one:
        heard = await one.until(lambda heard: heard.count("Ping") >= 3)
    assert "Relieve" not in heard


async def test_memory_is_requested_again_while_pressure_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "RELIEVE_EVERY_S", 1.5)
    async with puppet(tmp_path, 90) as one:
        heard = await one.until(lambda heard: heard.count("Relieve") >= 2)
    between = heard[heard.index("Relieve") :]
    assert between[: between.index("Relieve", 1)].count("Ping") >= 2


def cloned(name: str) -> Voice:
    return Voice(name, name, "neutral", voice_sample=VoiceSample(f"/prompts/{name}.wav", "This is me."))


def prepared(heard: list[str]) -> list[str]:
    return [note.removeprefix("Prepare ") for note in heard if note.startswith("Prepare")]


async def test_voices_with_samples_are_prepared_on_every_start_of_a_worker(
    tmp_path: Path,
) -> None:
    async with puppet(tmp_path) as one:
        one.pool.prepare([DEFAULT_VOICE, cloned("ada"), cloned("bob")])
        heard = await one.until(lambda heard: len(prepared(heard)) >= 2)
        assert prepared(heard) == ["ada", "bob"]
        one.pool.prepare([cloned("bob"), cloned("cyd")])
        heard = await one.until(lambda heard: len(prepared(heard)) >= 3)
        assert prepared(heard) == ["ada", "bob", "cyd"]
        pid = one.pool.workers[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        heard = await one.until(lambda heard: len(prepared(heard)) >= 5)
        assert prepared(heard) == ["ada", "bob", "cyd", "bob", "cyd"]
