"""Jobs: texts to be spoken into files. They are stored, so that a restart loses none.

Everything here blocks on the disk: call it from a thread.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

from streaming_server.audio.formats import AudioFormat
from streaming_server.errors import InUse, UnknownJob
from streaming_server.storage.database import Database, Row, storage_errors
from streaming_server.storage.files import discard, move_whole, remove_strays

JobStatus = Literal["pending", "processing", "completed", "failed", "cancelled", "interrupted"]
"""interrupted: the server stopped while the job was being spoken; it can be retried."""

JOB_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
OVER: frozenset[JobStatus] = frozenset({"completed", "failed", "cancelled", "interrupted"})

_RESULT = re.compile(r"[0-9a-f]{32}\.\w+")
"""The name of a result: a job's id, and its format or `part`. Other files are left alone."""


@dataclass(frozen=True, slots=True)
class Job:
    """A text to be spoken into a file.

    request: as the route validated it. Times are seconds since 1970. utterances, audio_s: how much was
    spoken. file: the result of a completed job.
    """

    id: str
    status: JobStatus
    request: dict[str, Any]
    created_at: float
    started_at: float | None
    finished_at: float | None
    utterances: int
    audio_s: float
    error_code: str | None
    error_message: str | None
    file: Path | None

    @property
    def over(self) -> bool:
        return self.status in OVER

    @property
    def audio_format(self) -> AudioFormat:
        """The format of the result, which is also the suffix of its file."""
        audio_format: AudioFormat = self.request.get("response_format", "wav")
        return audio_format


class Jobs:
    """The table of jobs and the folder of their results."""

    def __init__(self, database: Database, directory: Path) -> None:
        self._database = database
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def discard_partial(self, job_id: str) -> None:
        """Delete the unfinished result, if there is one. Raise StorageFailure."""
        with storage_errors():
            self.partial_file(job_id).unlink(missing_ok=True)

    def add(self, request: dict[str, Any]) -> Job:
        """Append a job to the queue. Raise StorageFailure."""
        job_id = secrets.token_hex(16)
        with self._database.transaction() as transaction:
            row = transaction.row(
                "INSERT INTO jobs (id, status, request, created_at)"
                " VALUES (:id, 'pending', :request, :now) RETURNING *",
                id=job_id,
                request=orjson.dumps(request).decode(),
                now=time.time(),
            )
        assert row is not None
        return self._job(row)

    def get(self, job_id: str) -> Job:
        """Raise UnknownJob."""
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
        """Mark the job that has waited longest as processing and return it; None if none waits."""
        with self._database.transaction() as transaction:
            row = transaction.row(
                "UPDATE jobs SET status = 'processing', started_at = :now WHERE number ="
                " (SELECT min(number) FROM jobs WHERE status = 'pending') RETURNING *",
                now=time.time(),
            )
        return self._job(row) if row is not None else None

    def partial_file(self, job_id: str) -> Path:
        """Return where the audio is written until it is complete."""
        return self._directory / f"{job_id}.part"

    def keep_result(self, job_id: str, extension: str) -> str:
        """Make the partial file, flushed to the disk, the result. Return its name. Raise StorageFailure."""
        name = f"{job_id}.{extension}"
        with storage_errors():
            move_whole(self.partial_file(job_id), self._directory / name)
        return name

    def complete(self, job_id: str, file_name: str, utterances: int, audio_s: float) -> Job:
        """Mark a job whose result has been kept as completed. Again is no error.

        Raise StorageFailure, and then the result stays; InUse if the job was cancelled, UnknownJob if it was
        cleared since, and then it is deleted.
        """
        try:
            return self._finish(job_id, "completed", utterances, audio_s, file=file_name)
        except UnknownJob:
            self.discard_result(file_name)
            raise
        except InUse:
            job = self.get(job_id)
            if job.file is None or job.file.name != file_name:
                self.discard_result(file_name)
                raise
            return job

    def discard_result(self, file_name: str) -> None:
        """Delete a result that no job has. `recover` deletes what cannot be deleted now."""
        discard(self._directory / file_name)

    def fail(self, job_id: str, code: str, message: str, utterances: int, audio_s: float) -> Job:
        """Raise InUse if the job is over, UnknownJob."""
        job = self._finish(job_id, "failed", utterances, audio_s, error=(code, message))
        self.discard_partial(job_id)
        return job

    def cancel(self, job_id: str, utterances: int = 0, audio_s: float = 0.0) -> Job:
        """Raise InUse if the job is over, UnknownJob."""
        return self._finish(job_id, "cancelled", utterances, audio_s)

    def retry(self, job_id: str) -> Job:
        """Append an interrupted, failed or cancelled job to the queue again. Raise InUse, UnknownJob."""
        with self._database.transaction() as transaction:
            before = transaction.row(
                "DELETE FROM jobs WHERE id = :id AND status IN ('interrupted', 'failed', 'cancelled')"
                " RETURNING *",
                id=job_id,
            )
            # A new row, as its number is its place in the queue.
            row = before and transaction.row(
                "INSERT INTO jobs (id, status, request, created_at)"
                " VALUES (:id, 'pending', :request, :created_at) RETURNING *",
                id=job_id,
                request=before["request"],
                created_at=before["created_at"],
            )
        if row is None:
            self.get(job_id)
            raise InUse("Only an interrupted, failed or cancelled job can be retried.")
        return self._job(row)

    def recover(self) -> int:
        """Complete or interrupt, after a start, the jobs that were being spoken; delete files of no job.

        A job is complete if its result was kept and only marking it failed. Return how many were interrupted.
        """
        with self._database.transaction() as transaction:
            results = self._results()
            found = transaction.rows("SELECT id FROM jobs WHERE status = 'processing'")
            ended = [
                {
                    "id": row["id"],
                    "file": results.get(row["id"]),
                    "status": "completed" if row["id"] in results else "interrupted",
                    "now": time.time(),
                }
                for row in found
            ]
            transaction.execute_many(
                "UPDATE jobs SET status = :status, file = :file, finished_at = :now WHERE id = :id", ended
            )
            rows = transaction.rows("SELECT file FROM jobs WHERE file IS NOT NULL")
        kept = {row["file"] for row in rows}
        with storage_errors():
            remove_strays(self._directory, _RESULT, kept)
        return sum(job["file"] is None for job in ended)

    def _results(self) -> dict[str, str]:
        """Return the names of the complete results in the folder, by job id."""
        with storage_errors():
            names = [file.name for file in self._directory.iterdir() if _RESULT.fullmatch(file.name)]
        return {Path(name).stem: name for name in names if not name.endswith(".part")}

    def expire(self, before: float) -> int:
        """Delete the jobs that ended before a time, with their results. Return how many.

        Raise StorageFailure.
        """
        return self._remove("finished_at < :before", before=before)

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
                    (self._directory / file).unlink(missing_ok=True)
                removed.append({"id": job_id})
            except OSError as error:
                failure = error
        with self._database.transaction() as transaction:
            transaction.execute_many(f"DELETE FROM jobs WHERE id = :id AND {over}", removed)
        if failure is not None:
            with storage_errors():
                raise failure
        return len(removed)

    def _finish(
        self,
        job_id: str,
        status: JobStatus,
        utterances: int,
        audio_s: float,
        *,
        file: str | None = None,
        error: tuple[str, str] | None = None,
    ) -> Job:
        """Raise InUse if the job is over, UnknownJob."""
        code, message = error or (None, None)
        with self._database.transaction() as transaction:
            row = transaction.row(
                "UPDATE jobs SET status = :status, finished_at = :now, utterances = :utterances,"
                " audio_s = :audio_s, file = :file, error_code = :code, error_message = :message"
                " WHERE id = :id AND status IN ('pending', 'processing') RETURNING *",
                status=status,
                now=time.time(),
                utterances=utterances,
                audio_s=audio_s,
                file=file,
                code=code,
                message=message,
                id=job_id,
            )
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
            file=self._directory / row["file"] if row["file"] is not None else None,
        )
