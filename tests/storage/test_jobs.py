"""Stored jobs: their order, states, results and recovery."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import pytest
from helpers.databases import Place
from helpers.disks import small_disk
from helpers.postgres import Postgres
from helpers.slow_folder import SlowToTell

from streaming_server.errors import EngineFailure, InUse, StorageFailure, StoreUnavailable, UnknownJob
from streaming_server.storage.job_records import Job, Recovered, SpokenProgress
from streaming_server.storage.jobs import MAX_LOST, Jobs
from streaming_server.storage.objects import FolderObjects

REQUEST = {"text": "Hello there. «Ünïcode»", "voice_id": "aria", "speed": 1.5}


@contextmanager
def opened(place: Place) -> Iterator[Jobs]:
    with place.opened() as database:
        yield Jobs(database, FolderObjects(place.data / "jobs"), "test")


@pytest.fixture
def jobs(place: Place) -> Iterator[Jobs]:
    with opened(place) as one:
        yield one


def begun(jobs: Jobs) -> Job:
    """Begin a job and write part of its result."""
    jobs.add(REQUEST)
    job = jobs.next()
    assert job is not None
    jobs.partial_file(job).write_bytes(b"RIFF sound")
    return job


def completed(jobs: Jobs, job: Job, utterances: int, audio_s: float) -> Job:
    return jobs.complete(job, jobs.keep_result(job), utterances, audio_s)


def done(jobs: Jobs) -> Job:
    return completed(jobs, begun(jobs), 2, 3.5)


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_job_is_stored_with_its_request(place: Place) -> None:
    before = time.time()
    with opened(place) as jobs:
        job = jobs.add(REQUEST)
    with opened(place) as jobs:
        assert jobs.get(job.id) == job
        assert jobs.list() == [job]
    assert (job.status, job.over, job.request) == ("pending", False, REQUEST)
    assert before <= job.created_at <= time.time()
    assert job.started_at is job.finished_at is job.file is job.error_code is None
    assert (job.utterances, job.audio_s) == (0, 0.0)


def test_jobs_are_taken_in_order(jobs: Jobs) -> None:
    ids = [jobs.add(REQUEST).id for _ in range(3)]
    taken = [job for _ in range(4) if (job := jobs.next()) is not None]
    assert [job.id for job in taken] == ids
    assert {job.status for job in taken} == {"processing"}
    assert all(job.started_at is not None for job in taken)
    assert jobs.next() is None


def test_a_job_is_taken_only_once(jobs: Jobs) -> None:
    ids = {jobs.add(REQUEST).id for _ in range(40)}
    taken: list[str] = []
    together = Barrier(4)

    def take() -> None:
        together.wait()
        while (job := jobs.next()) is not None:
            taken.append(job.id)

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 40
    assert set(taken) == ids


def test_a_completed_job_has_a_file(jobs: Jobs, tmp_path: Path) -> None:
    job = done(jobs)
    assert (job.status, job.over) == ("completed", True)
    assert (job.utterances, job.audio_s) == (2, 3.5)
    assert job.finished_at is not None
    assert job.file == tmp_path / "jobs" / f"{job.id}.wav"
    assert job.file.read_bytes() == b"RIFF sound"
    assert files(tmp_path / "jobs") == {job.file.name}


def test_a_failed_job_has_a_reason_and_no_file(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.fail(begun(jobs), "unavailable", "The worker died.", 1, 0.5)
    assert (job.status, job.over, job.file) == ("failed", True, None)
    assert (job.error_code, job.error_message) == ("unavailable", "The worker died.")
    assert (job.utterances, job.audio_s) == (1, 0.5)
    assert files(tmp_path / "jobs") == set()


def test_a_pending_or_processing_job_can_be_cancelled(jobs: Jobs) -> None:
    waiting = jobs.add(REQUEST)
    assert jobs.cancel(waiting.id).status == "cancelled"
    assert jobs.next() is None
    spoken = begun(jobs)
    stopped = jobs.cancel(spoken.id, 3, 4.5)
    assert (stopped.status, stopped.utterances, stopped.audio_s) == ("cancelled", 3, 4.5)


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
@pytest.mark.parametrize(
    "again",
    [
        lambda jobs, job: completed(jobs, replace(job, attempt=2), 9, 9.0),
        lambda jobs, job: jobs.fail(job, "late", "Late.", 9, 9.0),
        lambda jobs, job: jobs.cancel(job.id, 9, 9.0),
    ],
    ids=["completed", "failed", "cancelled"],
)
def test_the_first_end_of_a_job_wins(
    jobs: Jobs, tmp_path: Path, end: str, again: Callable[[Jobs, Job], Job]
) -> None:
    job = begun(jobs)
    match end:
        case "complete":
            ended = completed(jobs, job, 1, 1.0)
        case "fail":
            ended = jobs.fail(job, "broken", "Broken.", 1, 1.0)
        case _:
            ended = jobs.cancel(job.id, 1, 1.0)
    jobs.partial_file(replace(job, attempt=2)).write_bytes(b"RIFF more")
    with pytest.raises(InUse):
        again(jobs, job)
    assert jobs.get(job.id) == ended
    assert f"{job.id}-2.wav" not in files(tmp_path / "jobs")


def test_a_job_cleared_concurrently_stores_no_result(jobs: Jobs, tmp_path: Path) -> None:
    job = begun(jobs)
    jobs.cancel(job.id)
    assert jobs.clear() == 1
    with pytest.raises(UnknownJob):
        completed(jobs, job, 1, 1.0)
    assert files(tmp_path / "jobs") == set()


def test_a_job_without_its_partial_file_does_not_complete(jobs: Jobs) -> None:
    job = begun(jobs)
    jobs.discard_partial(job)
    with pytest.raises(StorageFailure):
        completed(jobs, job, 1, 1.0)
    assert jobs.get(job.id).status == "processing"


def test_completing_a_job_twice_keeps_its_result(jobs: Jobs) -> None:
    job = begun(jobs)
    name = jobs.keep_result(job)
    first = jobs.complete(job, name, 2, 3.5)
    assert jobs.complete(job, name, 2, 3.5) == first
    assert first.file is not None
    assert first.file.read_bytes() == b"RIFF sound"


def test_a_stored_result_completes_its_job_after_a_restart(tmp_path: Path) -> None:
    with opened(Place(tmp_path)) as jobs:
        job = begun(jobs)
        jobs.keep_result(job)
    with opened(Place(tmp_path)) as jobs:
        assert jobs.recover() == Recovered(completed=1)
        jobs.sweep()
        found = jobs.get(job.id)
        assert found.status == "completed"
        assert found.file is not None
        assert found.file.read_bytes() == b"RIFF sound"


def test_a_retried_job_goes_to_the_end_of_the_queue_and_starts_over(jobs: Jobs) -> None:
    first = jobs.fail(begun(jobs), "broken", "Broken.", 5, 6.0)
    second = jobs.add(REQUEST)
    again = jobs.retry(first.id)
    third = jobs.add(REQUEST)
    assert (again.status, again.utterances, again.audio_s) == ("pending", 0, 0.0)
    assert again.error_code is again.error_message is again.started_at is again.finished_at is None
    assert again.request == REQUEST
    order = [job.id for _ in range(3) if (job := jobs.next()) is not None]
    assert order == [second.id, first.id, third.id]


def test_only_unsuccessful_jobs_can_be_retried(jobs: Jobs) -> None:
    for job in (jobs.add(REQUEST), begun(jobs), done(jobs)):
        with pytest.raises(InUse):
            jobs.retry(job.id)
    with pytest.raises(UnknownJob):
        jobs.retry("nothing")


def test_a_restart_interrupts_running_jobs_and_keeps_pending_ones(tmp_path: Path) -> None:
    with opened(Place(tmp_path)) as jobs:
        whole, spoken, waiting = done(jobs), begun(jobs), jobs.add(REQUEST)
        (tmp_path / "jobs" / f"{'0' * 32}.wav").write_bytes(b"whole, but its row was not written any more")
    with opened(Place(tmp_path)) as jobs:
        assert jobs.recover() == Recovered(interrupted=1)
        jobs.sweep()
        assert jobs.get(spoken.id).status == "interrupted"
        assert jobs.get(spoken.id).finished_at is not None
        assert jobs.get(waiting.id) == waiting
        assert jobs.get(whole.id) == whole
        assert whole.file is not None
        assert files(tmp_path / "jobs") == {whole.file.name}
        assert jobs.retry(spoken.id).status == "pending"
        assert jobs.recover() == Recovered()


def test_lists_the_latest_first(jobs: Jobs) -> None:
    ids = [jobs.add(REQUEST).id for _ in range(5)]
    jobs.cancel(ids[1])
    assert [job.id for job in jobs.list()] == ids[::-1]
    assert [job.id for job in jobs.list(limit=2)] == ids[:-3:-1]
    assert [job.id for job in jobs.list("cancelled")] == [ids[1]]
    assert jobs.list("failed") == []


def test_jobs_are_counted_by_status(jobs: Jobs) -> None:
    assert set(jobs.counts().values()) == {0}
    done(jobs)
    begun(jobs)
    jobs.cancel(jobs.add(REQUEST).id)
    jobs.add(REQUEST)
    assert jobs.counts() == {
        "pending": 1,
        "processing": 1,
        "completed": 1,
        "failed": 0,
        "cancelled": 1,
        "interrupted": 0,
    }


def test_clearing_deletes_finished_jobs_and_their_results(jobs: Jobs, tmp_path: Path) -> None:
    done(jobs)
    spoken, waiting = begun(jobs), jobs.add(REQUEST)
    jobs.cancel(jobs.add(REQUEST).id)
    assert jobs.clear() == 2
    assert {job.id for job in jobs.list()} == {spoken.id, waiting.id}
    assert files(tmp_path / "jobs") == {jobs.partial_file(spoken).name}


def test_results_expire_but_unfinished_jobs_do_not(jobs: Jobs, tmp_path: Path) -> None:
    old = done(jobs)
    spoken, waiting = begun(jobs), jobs.add(REQUEST)
    assert old.finished_at is not None
    assert jobs.expire(old.finished_at - 1) == 0
    assert jobs.expire(time.time() + 1) == 1
    assert {job.id for job in jobs.list()} == {spoken.id, waiting.id}
    assert files(tmp_path / "jobs") == {jobs.partial_file(spoken).name}


def test_expiring_makes_room_on_a_full_disk(tmp_path: Path) -> None:
    """Jobs used to be deleted before their results, which needs disk space, so nothing was ever deleted."""
    with small_disk(tmp_path):
        with opened(Place(tmp_path)) as jobs:
            job = begun(jobs)
            jobs.partial_file(job).write_bytes(bytes(50_000))
            completed(jobs, job, 1, 2.0)
            with pytest.raises(OSError, match="No space"):
                (tmp_path / "filler").write_bytes(bytes(1 << 20))
            with pytest.raises(StorageFailure):
                for _ in range(100):
                    jobs.add({"text": "a" * 4096})
            assert jobs.expire(time.time() + 1) == 1
            assert not (tmp_path / "jobs" / f"{job.id}.wav").exists()
            assert jobs.add(REQUEST).status == "pending"


def test_a_result_that_cannot_be_deleted_keeps_only_its_job(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = done(jobs), done(jobs)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == stuck.file:
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageFailure):
        jobs.clear()
    assert [job.id for job in jobs.list()] == [stuck.id]
    assert files(tmp_path / "jobs") == {f"{stuck.id}.wav"}
    assert other.file is not None


def test_clearing_stops_when_the_object_store_is_unreachable(tmp_path: Path) -> None:
    class Away(FolderObjects):
        asked = 0

        def delete(self, name: str) -> None:
            self.asked += 1
            raise StoreUnavailable("The object store cannot be reached; try again.")

    results = Away(tmp_path / "jobs")
    with Place(tmp_path).opened() as database:
        jobs = Jobs(database, results, "test")
        for _ in range(3):
            done(jobs)
        jobs.cancel(jobs.add(REQUEST).id)
        with pytest.raises(StoreUnavailable):
            jobs.clear()
        assert results.asked == 1
        assert jobs.counts()["completed"] == 3


def test_a_result_stays_while_the_database_is_damaged(place: Place, tmp_path: Path) -> None:
    with place.opened() as database:
        jobs = Jobs(database, FolderObjects(tmp_path / "jobs"), "test")
        job = begun(jobs)
        jobs.keep_result(job)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "reading", _damaged)
            jobs.discard_result(job)
        assert files(tmp_path / "jobs") == {job.result_name}


def _damaged() -> None:
    raise EngineFailure("The database is damaged; restore the data directory from a backup.")


@pytest.mark.parametrize("name", ["nothing", "", "../evil", "\0"])
def test_an_unknown_job(jobs: Jobs, name: str) -> None:
    for act in (jobs.get, jobs.cancel, jobs.retry):
        with pytest.raises(UnknownJob):
            act(name)


def test_ids_are_random(jobs: Jobs) -> None:
    ids = [jobs.add(REQUEST).id for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(len(bytes.fromhex(job)) == 16 for job in ids)


def test_foreign_entries_among_results_are_kept_at_start(tmp_path: Path) -> None:
    """A directory among the results used to prevent marking interrupted jobs."""
    with opened(Place(tmp_path)) as jobs:
        spoken = begun(jobs)
        (tmp_path / "jobs" / ("1" * 32 + ".wav")).mkdir()
        (tmp_path / "jobs" / "notes.txt").write_text("somebody's")
    with opened(Place(tmp_path)) as jobs:
        assert jobs.recover() == Recovered(interrupted=1)
        jobs.sweep()
        assert jobs.get(spoken.id).status == "interrupted"
    assert {entry.name for entry in (tmp_path / "jobs").iterdir()} == {"1" * 32 + ".wav", "notes.txt"}


@pytest.fixture
def two(postgres: Postgres, tmp_path: Path) -> Iterator[tuple[Jobs, Jobs]]:
    """Return two servers' jobs on one database and one folder of results."""
    place = Place(tmp_path, postgres.schema_url())
    with place.opened() as one, place.opened() as other:
        yield (
            Jobs(one, FolderObjects(tmp_path / "jobs"), "one"),
            Jobs(other, FolderObjects(tmp_path / "jobs"), "other"),
        )


def expire_leases(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every lease renewed from now on have expired."""
    monkeypatch.setattr(jobs, "_lease", "0.0")


def test_a_job_is_held_while_its_lease_is_renewed(two: tuple[Jobs, Jobs]) -> None:
    one, other = two
    job = begun(one)
    assert job.node == "one"
    assert one.renew([SpokenProgress(job, 2, 1.5)]) == {job.id}
    assert other.recover() == Recovered()
    assert other.next() is None
    seen = other.get(job.id)
    assert (seen.status, seen.utterances, seen.audio_s) == ("processing", 2, 1.5)


def test_an_expired_job_waits_for_another_server_and_the_first_one_loses_it(
    two: tuple[Jobs, Jobs], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, other = two
    expire_leases(one, monkeypatch)
    job = begun(one)
    assert other.recover() == Recovered(requeued=1)
    assert other.get(job.id).started_at is None
    again = other.next()
    assert again is not None
    assert (again.id, again.node, again.attempt) == (job.id, "other", 2)
    assert one.renew([SpokenProgress(job, 1, 1.0)]) == set()
    one.partial_file(job).write_bytes(b"RIFF late")
    with pytest.raises(InUse):
        completed(one, job, 1, 1.0)
    with pytest.raises(InUse):
        one.fail(job, "late", "Late.", 1, 1.0)
    other.partial_file(again).write_bytes(b"RIFF sound")
    one.discard_partial(job)
    ended = completed(other, again, 2, 3.0)
    assert ended.status == "completed"
    assert one.result(ended).read_bytes() == b"RIFF sound"
    assert files(tmp_path / "jobs") == {again.result_name}


def test_an_expired_job_is_complete_if_its_result_was_kept(
    two: tuple[Jobs, Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    expire_leases(one, monkeypatch)
    job = begun(one)
    one.keep_result(job)
    assert other.recover() == Recovered(completed=1)
    assert other.result(other.get(job.id)).read_bytes() == b"RIFF sound"


def test_a_job_that_killed_several_servers_is_interrupted(
    two: tuple[Jobs, Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    expire_leases(one, monkeypatch)
    job = begun(one)
    for _ in range(MAX_LOST - 1):
        assert other.recover() == Recovered(requeued=1)
        assert one.next() is not None
    assert other.recover() == Recovered(interrupted=1)
    assert other.retry(job.id).status == "pending"


def test_looking_for_the_result_of_a_lost_job_blocks_no_transaction(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, postgres.schema_url())
    results = SlowToTell(tmp_path / "jobs")
    with opened(place) as jobs, place.opened() as database, ThreadPoolExecutor(1) as pool:
        expire_leases(jobs, monkeypatch)
        cancelled, lost = begun(jobs), begun(jobs)
        recovery = pool.submit(Jobs(database, results, "slow").recover)
        assert results.asked.wait(20)
        assert jobs.cancel(cancelled.id).status == "cancelled"
        results.may_tell.set()
        assert recovery.result(20) == Recovered(requeued=1)
        assert [jobs.get(job.id).status for job in (cancelled, lost)] == ["cancelled", "pending"]


def test_a_server_that_stops_gives_its_jobs_back(two: tuple[Jobs, Jobs]) -> None:
    one, other = two
    job = begun(one)
    one.give_back(job)
    again = other.next()
    assert again is not None
    assert again.id == job.id
    one.give_back(job)
    assert other.get(job.id).status == "processing"


def test_a_job_can_be_cancelled_on_another_server(two: tuple[Jobs, Jobs]) -> None:
    one, other = two
    job = begun(one)
    one.renew([SpokenProgress(job, 2, 1.5)])
    cancelled = other.cancel(job.id)
    assert (cancelled.status, cancelled.utterances, cancelled.audio_s) == ("cancelled", 2, 1.5)
    assert one.renew([SpokenProgress(job, 3, 2.5)]) == set()


def test_a_sweep_keeps_what_other_servers_are_writing(two: tuple[Jobs, Jobs], tmp_path: Path) -> None:
    one, other = two
    job = begun(one)
    (tmp_path / "jobs" / ("0" * 32 + "-2.wav")).write_bytes(b"of no job")
    other.sweep()
    assert files(tmp_path / "jobs") == {f"{job.id}.part"}
    one.keep_result(job)
    other.sweep()
    assert files(tmp_path / "jobs") == {job.result_name}


def test_eight_servers_take_a_thousand_jobs_once_each(postgres: Postgres, tmp_path: Path) -> None:
    place = Place(tmp_path, postgres.schema_url())
    with ExitStack() as stack:
        databases = [stack.enter_context(place.opened()) for _ in range(8)]
        with databases[0].transaction() as transaction:
            transaction.execute(
                "INSERT INTO jobs (id, status, request, created_at)"
                " SELECT md5(CAST(n AS TEXT)), 'pending', '{}', 0 FROM generate_series(1, 1000) AS n"
            )
        taken: list[str] = []

        def take(server: Jobs) -> None:
            while (job := server.next()) is not None:
                taken.append(job.id)

        servers = [Jobs(database, FolderObjects(tmp_path / "jobs"), "test") for database in databases]
        threads = [Thread(target=take, args=(server,)) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(taken) == len(set(taken)) == 1000


def test_a_server_whose_clock_is_ahead_deletes_nothing_too_early(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it take the jobs of others for abandoned: the clock of the database counts."""
    a_day, now = 24 * 3600.0, time.time
    with opened(Place(tmp_path, postgres.schema_url())) as jobs:
        finished = done(jobs)
        speaking = begun(jobs)
        monkeypatch.setattr(time, "time", lambda: now() + 2 * a_day)
        assert jobs.expire(time.time() - a_day) == 0
        assert jobs.recover() == Recovered()
        late = done(jobs)
        monkeypatch.undo()
        assert late.finished_at is not None
        assert abs(late.finished_at - now()) < 60
        assert jobs.expire(now() - a_day) == 0
        assert {job.id for job in jobs.list()} == {finished.id, speaking.id, late.id}
        assert jobs.expire(now() + 60) == 2
