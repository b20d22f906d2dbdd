"""Jobs: texts to be spoken into files. They are stored, so that a restart loses none.

Everything here blocks on the disk: call it from a thread.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from streaming_server.errors import EngineFailure, Full, InUse, StorageFailure, StoreUnavailable, UnknownJob
from streaming_server.storage.database import Database, Row, storage_errors
from streaming_server.storage.job_records import (
    JOB_STATUSES,
    OVER,
    Job,
    JobStatus,
    Recovered,
    SpokenProgress,
)
from streaming_server.storage.leases import LEASE_S
from streaming_server.storage.objects import Objects

MAX_LOST = 3
"""Servers that may die while speaking a job before it is marked interrupted instead of requeued."""

TOPIC, CANCELLED = "jobs", "cancelled jobs"
"""Announced when a job waits, and when one is cancelled."""

_ID = re.compile(r"[0-9a-f]{32}")

_RESULT = re.compile(r"([0-9a-f]{32})(-\d+)?\.\w+")
"""The name of a result: a job's id, the attempt after the first, and its format or `part`. Other files are
left alone."""


class Jobs:
    """The table of jobs and their results.

    A server holds a job that it speaks by a lease. On a shared database the lease must be renewed: a job
    whose lease has expired waits again, for any server. An embedded database has one server, so the jobs it
    finds at its start are its own, and become interrupted.

    node: the name of this server.
    """

    def __init__(self, database: Database, results: Objects, node: str) -> None:
        self._database = database
        self._results = results
        self._node = node
        # The database's own, as the clocks of servers may differ.
        self._now = database.clock
        self._lease = f"{self._now} + {LEASE_S}"
        expired = f" AND lease_until < {self._now}" if database.shared else ""
        self._left_behind = f"status = 'processing'{expired}"

    @property
    def shared(self) -> bool:
        """True if other servers may take jobs too."""
        return self._database.shared

    def add(self, request: dict[str, Any], *, max_pending: int | None = None) -> Job:
        """Append a job to the queue. Raise StorageFailure, and Full if `max_pending` jobs wait already."""
        with self._database.transaction() as transaction:
            if max_pending is not None:
                waiting = transaction.row("SELECT count(*) AS jobs FROM jobs WHERE status = 'pending'")
                assert waiting is not None
                if waiting["jobs"] >= max_pending:
                    raise Full(f"{max_pending} jobs are waiting; try again later or cancel some.")
            row = transaction.row(
                "INSERT INTO jobs (id, status, request, created_at)"
                f" VALUES (:id, 'pending', :request, {self._now}) RETURNING *",
                id=secrets.token_hex(16),
                request=orjson.dumps(request).decode(),
            )
            transaction.announce(TOPIC, counted=False)
        assert row is not None
        return self._job(row)

    def get(self, job_id: str) -> Job:
        """Raise UnknownJob."""
        _check_id(job_id)
        with self._database.reading() as transaction:
            row = transaction.row("SELECT * FROM jobs WHERE id = :id", id=job_id)
        if row is None:
            raise UnknownJob("No job has this id.")
        return self._job(row)

    def list(self, status: JobStatus | None = None, limit: int = 50) -> list[Job]:
        """Return the latest jobs, newest first."""
        chosen = "WHERE status = :status" if status is not None else ""
        values = {"status": status} if status is not None else {}
        with self._database.reading() as transaction:
            rows = transaction.rows(
                f"SELECT * FROM jobs {chosen} ORDER BY number DESC LIMIT :limit", limit=limit, **values
            )
        return [self._job(row) for row in rows]

    def counts(self) -> dict[JobStatus, int]:
        """Count the jobs by status."""
        with self._database.reading() as transaction:
            rows = transaction.rows("SELECT status, count(*) AS jobs FROM jobs GROUP BY status")
        found = {row["status"]: row["jobs"] for row in rows}
        return {status: found.get(status, 0) for status in JOB_STATUSES}

    def next(self) -> Job | None:
        """Take the job that has waited longest, by a lease, and return it; None if none waits."""
        with self._database.transaction() as transaction:
            row = transaction.row(
                f"UPDATE jobs SET status = 'processing', started_at = {self._now}, node = :node,"
                f" attempt = attempt + 1, lease_until = {self._lease} WHERE number ="
                " (SELECT number FROM jobs WHERE status = 'pending' ORDER BY number LIMIT 1"
                f" {self._database.skip_locked}) RETURNING *",
                node=self._node,
            )
        return self._job(row) if row is not None else None

    def renew(self, running: Iterable[SpokenProgress]) -> set[str]:
        """Renew the leases of jobs and store their progress. Return the ids of those still held."""
        held = set()
        with self._database.transaction() as transaction:
            for each in running:
                changed = transaction.execute(
                    f"UPDATE jobs SET lease_until = {self._lease}, utterances = :utterances,"
                    " audio_s = :audio_s WHERE id = :id AND attempt = :attempt AND status = 'processing'",
                    utterances=each.utterances,
                    audio_s=each.audio_s,
                    id=each.job.id,
                    attempt=each.job.attempt,
                )
                if changed:
                    held.add(each.job.id)
        return held

    def give_back(self, job: Job) -> None:
        """Let a job that this server will not finish wait again, if other servers may take it."""
        if self._database.shared:
            with self._database.transaction() as transaction:
                transaction.execute(
                    "UPDATE jobs SET status = 'pending', started_at = NULL, utterances = 0, audio_s = 0"
                    " WHERE id = :id AND attempt = :attempt AND status = 'processing'",
                    id=job.id,
                    attempt=job.attempt,
                )
                transaction.announce(TOPIC, counted=False)

    def partial_file(self, job: Job) -> Path:
        """Return where the audio of this attempt is written until it is complete."""
        return self._results.path(job.partial_name)

    def discard_partial(self, job: Job) -> None:
        """Delete the unfinished result, if there is one. Raise StorageFailure."""
        with storage_errors():
            self.partial_file(job).unlink(missing_ok=True)

    def keep_result(self, job: Job) -> str:
        """Make the partial file, once it is durable, the result. Return its name. Raise StorageFailure."""
        self._results.put(job.result_name, self.partial_file(job))
        return job.result_name

    def result(self, job: Job) -> Path:
        """Return the file of a completed job's result, fetched if another server made it.

        Raise UnknownJob if it is gone, StorageFailure.
        """
        gone = UnknownJob("The result of this job has expired.")
        if job.file is None:
            raise gone
        try:
            return self._results.fetch(job.file.name)
        except FileNotFoundError:
            raise gone from None

    def complete(self, job: Job, file_name: str, utterances: int, audio_s: float) -> Job:
        """Mark a job whose result has been kept as completed. Idempotent.

        Raise StorageFailure, and then the result stays; InUse if the job was cancelled or is another server's
        by now, UnknownJob if it was cleared since, and then it is deleted.
        """
        try:
            return self._finish(job.id, "completed", utterances, audio_s, attempt=job.attempt, file=file_name)
        except UnknownJob:
            self.discard_result(job)
            raise
        except InUse:
            found = self.get(job.id)
            if found.file is None or found.file.name != file_name:
                self.discard_result(job)
                raise
            return found

    def discard_result(self, job: Job) -> None:
        """Delete the result of an attempt, unless it counts or may still be marked as complete.

        `sweep` deletes what cannot be deleted now.
        """
        try:
            with self._database.reading() as transaction:
                counts = transaction.row(
                    "SELECT 1 FROM jobs WHERE id = :id AND attempt = :attempt"
                    " AND status IN ('processing', 'completed')",
                    id=job.id,
                    attempt=job.attempt,
                )
            if counts is None:
                self._results.delete(job.result_name)
        except (StorageFailure, EngineFailure):
            return

    def fail(self, job: Job, code: str, message: str, utterances: int, audio_s: float) -> Job:
        """Mark a job as failed.

        Raise InUse if the job has ended or another server has taken it, UnknownJob if it does not exist.
        """
        failed = self._finish(
            job.id, "failed", utterances, audio_s, attempt=job.attempt, error=(code, message)
        )
        self.discard_partial(job)
        return failed

    def cancel(self, job_id: str, utterances: int = 0, audio_s: float = 0.0) -> Job:
        """Cancel a job, whichever server speaks it. Raise InUse if the job is over, UnknownJob."""
        return self._finish(job_id, "cancelled", utterances, audio_s)

    def retry(self, job_id: str) -> Job:
        """Append an interrupted, failed or cancelled job to the queue again. Raise InUse, UnknownJob."""
        _check_id(job_id)
        with self._database.transaction() as transaction:
            before = transaction.row(
                "DELETE FROM jobs WHERE id = :id AND status IN ('interrupted', 'failed', 'cancelled')"
                " RETURNING *",
                id=job_id,
            )
            # A new row, as its number is its place in the queue.
            row = before and transaction.row(
                "INSERT INTO jobs (id, status, request, created_at, attempt)"
                " VALUES (:id, 'pending', :request, :created_at, :attempt) RETURNING *",
                id=job_id,
                request=before["request"],
                created_at=before["created_at"],
                attempt=before["attempt"],
            )
            transaction.announce(TOPIC, counted=False)
        if row is None:
            self.get(job_id)
            raise InUse("Only an interrupted, failed or cancelled job can be retried.")
        return self._job(row)

    def recover(self) -> Recovered:
        """Settle the jobs that a server left behind while it spoke them.

        On an embedded database these are all that are being spoken: call it once, at the start. On a shared
        one these are the jobs whose lease has expired. A job is complete if its result was kept and only
        marking it failed; otherwise it waits again, or is interrupted.
        """
        with self._database.reading() as transaction:
            found = transaction.rows(f"SELECT * FROM jobs WHERE {self._left_behind} ORDER BY number")
        # Between transactions: asking a slow object store for results must not block other calls.
        settled = [self._settled(row) for row in found]
        ends = [each["status"] for each in settled if self._settle(each)]
        return Recovered(ends.count("completed"), ends.count("pending"), ends.count("interrupted"))

    def _settled(self, row: Row) -> Row:
        name = self._job(row).result_name
        kept = self._results.exists(name)
        again = self._database.shared and row["lost"] + 1 < MAX_LOST
        status: JobStatus = "completed" if kept else "pending" if again else "interrupted"
        return {
            "id": row["id"],
            "attempt": row["attempt"],
            "status": status,
            "file": name if kept else None,
            "started_at": None if status == "pending" else row["started_at"],
            "over": status != "pending",
            "utterances": 0 if status == "pending" else row["utterances"],
            "audio_s": 0.0 if status == "pending" else row["audio_s"],
        }

    def _settle(self, settled: Row) -> bool:
        """Store what becomes of a job. Return False if it was renewed, ended or settled by another server."""
        with self._database.transaction() as transaction:
            changed = transaction.execute(
                "UPDATE jobs SET status = :status, file = :file, started_at = :started_at,"
                f" finished_at = CASE WHEN :over THEN {self._now} END, lost = lost + 1,"
                " utterances = :utterances, audio_s = :audio_s"
                f" WHERE id = :id AND attempt = :attempt AND {self._left_behind}",
                **settled,
            )
            if changed:
                transaction.announce(TOPIC, counted=False)
        return bool(changed)

    def sweep(self) -> None:
        """Delete results that belong to no job. Call at start-up, after `recover`."""
        names = self._results.names()
        # Read after the names, so that a result stored meanwhile does not count as an orphan.
        with self._database.reading() as transaction:
            rows = transaction.rows(
                "SELECT id, file, status FROM jobs WHERE status IN ('processing', 'completed')"
            )
        kept = {row["file"] for row in rows}
        spoken = {row["id"] for row in rows if row["status"] == "processing"}
        named = {name: match[1] for name in names if (match := _RESULT.fullmatch(name))}
        self._results.remove(
            name for name, job_id in named.items() if name not in kept and job_id not in spoken
        )

    def expire(self, before: float) -> int:
        """Delete the jobs that ended before a time, with their results. Return how many.

        Raise StorageFailure.
        """
        removed = self._remove(f"finished_at < {self._now} - :age", age=time.time() - before)
        if self._database.shared:  # This machine has copies of results that others have deleted.
            self.sweep()
        return removed

    def clear(self) -> int:
        """Delete every job that is over, with its result. Return how many. Raise StorageFailure."""
        return self._remove("TRUE")

    def _remove(self, condition: str, **values: Any) -> int:
        """Delete results first, which may be what fills the disk. A job is kept if its result cannot be."""
        statuses = ", ".join(f"'{status}'" for status in sorted(OVER))
        over = f"status IN ({statuses})"
        with self._database.reading() as transaction:
            rows = transaction.rows(f"SELECT id, file FROM jobs WHERE {over} AND {condition}", **values)
        chosen = [(row["id"], row["file"]) for row in rows]
        removed, failure = [], None
        for job_id, file in chosen:
            try:
                if file is not None:
                    self._results.delete(file)
                removed.append({"id": job_id})
            except StorageFailure as error:
                failure = error
                if isinstance(error, StoreUnavailable):  # The others would fail too, each after its timeout.
                    break
        with self._database.transaction() as transaction:
            transaction.execute_many(f"DELETE FROM jobs WHERE id = :id AND {over}", removed)
        if failure is not None:
            raise failure
        return len(removed)

    def _finish(
        self,
        job_id: str,
        status: JobStatus,
        utterances: int,
        audio_s: float,
        *,
        attempt: int | None = None,
        file: str | None = None,
        error: tuple[str, str] | None = None,
    ) -> Job:
        """End a job or, if given, this attempt at it. Raise InUse if it is over, UnknownJob."""
        _check_id(job_id)
        code, message = error or (None, None)
        mine = "IN ('pending', 'processing')" if attempt is None else "= 'processing' AND attempt = :attempt"
        values = {} if attempt is None else {"attempt": attempt}
        with self._database.transaction() as transaction:
            row = transaction.row(
                f"UPDATE jobs SET status = :status, finished_at = {self._now},"
                # A server that speaks it may have stored more than the one that cancels it knows.
                " utterances = CASE WHEN utterances > :utterances THEN utterances ELSE :utterances END,"
                " audio_s = CASE WHEN audio_s > :audio_s THEN audio_s ELSE :audio_s END,"
                " file = :file, error_code = :code, error_message = :message"
                f" WHERE id = :id AND status {mine} RETURNING *",
                status=status,
                utterances=utterances,
                audio_s=audio_s,
                file=file,
                code=code,
                message=message,
                id=job_id,
                **values,
            )
            if status == "cancelled":
                transaction.announce(CANCELLED, counted=False)
        if row is None:
            self.get(job_id)
            raise InUse("The job has already ended.")
        return self._job(row)

    def _job(self, row: Row) -> Job:
        return Job(
            id=row["id"],
            status=row["status"],
            request=orjson.loads(row["request"]),
            created_at=row["created_at"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            utterances=row["utterances"],
            audio_s=row["audio_s"],
            error_code=row["error_code"],
            error_message=row["error_message"],
            file=self._results.path(row["file"]) if row["file"] is not None else None,
            node=row["node"],
            attempt=row["attempt"],
        )


def _check_id(job_id: str) -> None:
    """Raise UnknownJob for what no job's id looks like."""
    if not _ID.fullmatch(job_id):
        raise UnknownJob("No job has this id.")
