"""Jobs write speech to files despite failures of the disk, the database and workers."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from helpers.databases import Place, locked_jobs
from helpers.postgres import Postgres
from helpers.slow_folder import SlowToTell
from structlog.testing import capture_logs

from streaming_server.errors import (
    BadValue,
    Draining,
    EngineFailure,
    NotReady,
    StoreUnavailable,
    VoiceUnavailable,
    WorkerLost,
)
from streaming_server.jobs.queue import JobQueue
from streaming_server.jobs.runner import MAX_ATTEMPTS, JobRunner
from streaming_server.storage.database import Database
from streaming_server.storage.job_records import Job, Recovered
from streaming_server.storage.jobs import Jobs
from streaming_server.storage.objects import FolderObjects, Objects

pytestmark = pytest.mark.anyio

REQUEST = {"text": "Hello there.", "voice_id": "aria", "response_format": "wav"}
HEAD, AUDIO = b"head", b"some audio"


class Speech:
    """Yields AUDIO when released, after the given errors; the last one again and again if `always`."""

    def __init__(self, *errors: Exception, always: bool = True) -> None:
        self.utterances = 0
        self.audio_s = 0.0
        self.opened = 0
        self.may_end = anyio.Event()
        self.on_open: Callable[[], None] = lambda: None
        self._errors = errors
        self._always = always

    @asynccontextmanager
    async def open(self, request: Mapping[str, Any], threads: anyio.CapacityLimiter) -> AsyncIterator[Speech]:
        self.opened += 1
        self.on_open()
        yield self

    async def audio(self) -> AsyncGenerator[bytes, None]:
        if errors := self._errors[self.opened - 1 :] or self._errors[-1:] * self._always:
            raise errors[0]
        yield b"????"
        yield AUDIO
        self.utterances, self.audio_s = 1, 2.5
        await self.may_end.wait()

    def final_head(self) -> bytes:
        return HEAD


class Runner:
    def __init__(self, jobs: Jobs, speech: Speech, *, voice_timeout_s: float = 600.0) -> None:
        self.jobs = jobs
        self.queue = JobQueue(jobs)
        self.speech = speech
        self.draining = False
        self._runner = JobRunner(
            jobs,
            self.queue,
            speech.open,
            has_room=lambda: True,
            has_listeners=lambda: False,
            draining=lambda: self.draining,
            voice_timeout_s=voice_timeout_s,
        )

    async def renew(self) -> None:
        await self._runner.renew()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(self._runner.run)
            yield
            self.queue.stop()
            group.cancel_scope.cancel()

    async def until(self, job: Job, condition: Callable[[Job], bool]) -> Job:
        with anyio.fail_after(20):
            while not condition(found := self.jobs.get(job.id)):
                await anyio.sleep(0.005)
        return found


@pytest.fixture
def database(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setattr("streaming_server.storage.sqlite.BUSY_TIMEOUT_S", 0.02)
    monkeypatch.setattr("streaming_server.storage.postgresql.STATEMENT_TIMEOUT_S", 1)
    monkeypatch.setattr("streaming_server.storage.jobs.LEASE_S", 0.5)
    monkeypatch.setattr("streaming_server.jobs.runner.RENEW_S", 0.1)
    monkeypatch.setattr("streaming_server.jobs.runner.STORAGE_RETRY_S", 0.01)
    with place.opened() as database:
        yield database


@pytest.fixture
def jobs(database: Database, tmp_path: Path) -> Jobs:
    return Jobs(database, FolderObjects(tmp_path / "jobs"), "test")


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as entries:
        yield entries


async def until_marking_fails(logged: list[MutableMapping[str, Any]]) -> None:
    with anyio.fail_after(20):
        while not any(entry["event"] == "cannot mark a job as completed yet" for entry in logged):
            await anyio.sleep(0.005)


def is_over(job: Job) -> bool:
    return job.over


def is_processing(job: Job) -> bool:
    return job.status == "processing"


async def test_a_job_writes_its_file(jobs: Jobs) -> None:
    runner = Runner(jobs, Speech())
    runner.speech.may_end.set()
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_over)
    assert (job.status, job.utterances, job.audio_s) == ("completed", 1, 2.5)
    assert job.file is not None
    assert job.file.read_bytes() == HEAD + AUDIO


async def test_a_busy_database_does_not_lose_a_finished_job(
    jobs: Jobs, place: Place, logged: list[MutableMapping[str, Any]]
) -> None:
    runner = Runner(jobs, Speech())
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_processing)
        with locked_jobs(place):
            runner.speech.may_end.set()
            await until_marking_fails(logged)
            assert jobs.get(job.id).status == "processing"
        job = await runner.until(job, is_over)
    assert job.status == "completed"
    assert job.file is not None
    assert job.file.read_bytes() == HEAD + AUDIO
    assert runner.speech.opened == 1


async def test_a_finished_job_that_could_not_be_marked_is_complete_after_a_restart(
    jobs: Jobs, place: Place, logged: list[MutableMapping[str, Any]]
) -> None:
    runner = Runner(jobs, Speech())
    with ExitStack() as stack:
        async with runner.running():
            job = await runner.until(await runner.queue.add(REQUEST), is_processing)
            stack.enter_context(locked_jobs(place))
            runner.speech.may_end.set()
            await until_marking_fails(logged)
    again = Runner(jobs, Speech())
    async with again.running():
        job = await again.until(job, is_over)
    assert (job.status, again.speech.opened) == ("completed", 0)
    assert job.file is not None
    assert job.file.read_bytes() == HEAD + AUDIO


async def test_a_job_cancelled_while_it_cannot_be_marked_leaves_no_file(
    jobs: Jobs,
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[MutableMapping[str, Any]],
) -> None:
    monkeypatch.setattr("streaming_server.jobs.runner.STORAGE_RETRY_S", 60)
    runner = Runner(jobs, Speech())
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_processing)
        with locked_jobs(place):
            runner.speech.may_end.set()
            await until_marking_fails(logged)
        assert (await runner.queue.cancel(job.id)).status == "cancelled"
    assert list((tmp_path / "jobs").iterdir()) == []


class AwayAtFirst(FolderObjects):
    """Objects in a store that cannot be reached at the first two attempts."""

    attempts = 0

    def put(self, name: str, file: Path) -> None:
        self.attempts += 1
        if self.attempts <= 2:
            raise StoreUnavailable("The object store cannot be reached; try again.")
        super().put(name, file)


async def test_a_finished_job_waits_for_the_object_store(database: Database, tmp_path: Path) -> None:
    runner = Runner(Jobs(database, AwayAtFirst(tmp_path / "jobs"), "test"), Speech())
    runner.speech.may_end.set()
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_over)
    assert (job.status, runner.speech.opened) == ("completed", 1)
    assert job.file is not None
    assert job.file.read_bytes() == HEAD + AUDIO


async def test_a_failed_job_stores_the_reason(jobs: Jobs, tmp_path: Path) -> None:
    runner = Runner(jobs, Speech(BadValue("there is nothing in it to say.", field="text")))
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_over)
    assert (job.status, job.error_code) == ("failed", "bad_value")
    assert list((tmp_path / "jobs").iterdir()) == []


async def test_a_job_whose_worker_dies_is_attempted_again(jobs: Jobs) -> None:
    runner = Runner(jobs, Speech(WorkerLost("The worker died.")))
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_over)
    assert (job.status, job.error_code) == ("failed", "worker_lost")
    assert runner.speech.opened == MAX_ATTEMPTS


async def test_a_job_waits_for_its_voice_longer_than_it_is_attempted(jobs: Jobs) -> None:
    fetching = NotReady("Voice amy is being fetched, 1 % so far; try again in a moment.")
    runner = Runner(jobs, Speech(*(2 * MAX_ATTEMPTS * [fetching]), always=False))
    runner.speech.may_end.set()
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_over)
    assert (job.status, runner.speech.opened) == ("completed", 2 * MAX_ATTEMPTS + 1)


async def test_a_job_whose_voice_never_comes_fails(jobs: Jobs) -> None:
    fetching = NotReady("Voice amy is being fetched, 1 % so far; try again in a moment.")
    runner = Runner(jobs, Speech(fetching), voice_timeout_s=0.1)
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_over)
    assert (job.status, job.error_code) == ("failed", "not_ready")
    assert runner.speech.opened > 1


async def test_a_job_pauses_before_it_is_attempted_again(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[random.Random] = []

    def delays(rng: random.Random) -> Iterator[float]:
        for _ in range(MAX_ATTEMPTS):
            pauses.append(rng)
            yield 0.0

    monkeypatch.setattr("streaming_server.jobs.runner.jittered_delays", delays)
    runner = Runner(jobs, Speech(VoiceUnavailable("Voice amy cannot be fetched.")))
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_over)
    assert (job.status, job.error_code) == ("failed", "voice_unavailable")
    assert (runner.speech.opened, len(pauses)) == (MAX_ATTEMPTS, MAX_ATTEMPTS - 1)


async def test_a_job_that_meets_a_draining_server_is_left_to_another(
    postgres: Postgres, tmp_path: Path
) -> None:
    with Place(tmp_path, postgres.schema_url()).opened() as database:
        jobs = Jobs(database, FolderObjects(tmp_path / "jobs"), "test")
        runner = Runner(jobs, Speech(Draining("The server is shutting down.")))
        runner.speech.on_open = lambda: setattr(runner, "draining", True)
        async with runner.running():
            job = await runner.until(await runner.queue.add(REQUEST), lambda job: runner.draining)
            job = await runner.until(job, lambda job: job.status == "pending")
    assert runner.speech.opened == 1


async def test_an_unexpected_error_is_logged_under_its_own_name(
    jobs: Jobs, logged: list[MutableMapping[str, Any]]
) -> None:
    runner = Runner(jobs, Speech(RuntimeError("unexpected")))
    async with runner.running():
        await runner.until(await runner.queue.add(REQUEST), is_over)
    events = [entry["event"] for entry in logged if entry["log_level"] in ("error", "warning")]
    assert events == ["job raised an exception", "job failed"]


async def test_an_unexpected_error_fails_the_job_and_no_other(jobs: Jobs) -> None:
    runner = Runner(jobs, Speech(RuntimeError("unexpected")))
    async with runner.running():
        first, second = await runner.queue.add(REQUEST), await runner.queue.add(REQUEST)
        for job in (first, second):
            assert (await runner.until(job, is_over)).error_code == "internal"


async def test_a_job_cancelled_on_another_server_is_spoken_no_more(jobs: Jobs, tmp_path: Path) -> None:
    runner = Runner(jobs, Speech())
    async with runner.running():
        job = await runner.until(await runner.queue.add(REQUEST), is_processing)
        with anyio.fail_after(20):
            while not runner.queue.held():
                await anyio.sleep(0.005)
        await runner.renew()
        assert runner.queue.held()
        jobs.cancel(job.id)
        await runner.renew()
        with anyio.fail_after(20):
            while runner.queue.held():
                await anyio.sleep(0.005)
        assert jobs.get(job.id).status == "cancelled"
        assert list((tmp_path / "jobs").iterdir()) == []


async def test_a_slow_object_store_costs_no_lease(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server looks there for the result of a lost job, and renews the leases of its own meanwhile."""
    lease_s = 1.5
    monkeypatch.setattr("streaming_server.storage.jobs.LEASE_S", lease_s)
    monkeypatch.setattr("streaming_server.jobs.runner.RENEW_S", 0.1)
    with Place(tmp_path, postgres.schema_url()).opened() as database:
        results = SlowToTell(tmp_path / "jobs")
        other = Jobs(database, FolderObjects(tmp_path / "jobs"), "other")
        runner = Runner(Jobs(database, results, "slow"), Speech())
        other.add(REQUEST)
        assert other.next() is not None  # It is lost, as nobody renews its lease.
        async with runner.running():
            job = await runner.until(await runner.queue.add(REQUEST), is_processing)
            assert await to_thread.run_sync(results.asked.wait, 20)
            await anyio.sleep(1.5 * lease_s)  # Unless it is renewed, the lease of its own job ends too.
            assert other.recover() == Recovered(requeued=1)
            results.may_tell.set()
            held = other.get(job.id)
            assert (held.status, held.node, held.attempt) == ("processing", "slow", 1)


class DamagedAtFirst(Jobs):
    """Jobs on a damaged database that is restored after the first call of one method."""

    def __init__(self, database: Database, results: Objects, failing: str) -> None:
        super().__init__(database, results, "test")
        self._failing = failing
        self.failures = 0

    def _damaged(self, method: str) -> None:
        if method == self._failing and not self.failures:
            self.failures += 1
            raise EngineFailure("The database is damaged; restore the data directory from a backup.")

    def recover(self) -> Recovered:
        self._damaged("recover")
        return super().recover()

    def next(self) -> Job | None:
        self._damaged("next")
        return super().next()

    def get(self, job_id: str) -> Job:
        self._damaged("get")
        return super().get(job_id)

    def complete(self, job: Job, file_name: str, utterances: int, audio_s: float) -> Job:
        self._damaged("complete")
        return super().complete(job, file_name, utterances, audio_s)


@pytest.mark.parametrize("failing", ["recover", "next", "get", "complete"])
async def test_a_damaged_database_does_not_end_the_server(
    database: Database, tmp_path: Path, failing: str
) -> None:
    jobs = DamagedAtFirst(database, FolderObjects(tmp_path / "jobs"), failing)
    runner = Runner(jobs, Speech())
    runner.speech.may_end.set()
    job = jobs.add(REQUEST)
    async with runner.running():
        with anyio.fail_after(20):
            while not jobs.failures or not is_over(job):
                await anyio.sleep(0.005)
                job = next(found for found in jobs.list() if found.id == job.id)
    assert job.status == "completed"
