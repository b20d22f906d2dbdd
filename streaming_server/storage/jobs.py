"""Jobs: texts to be spoken into a file, kept on disk so that none is lost.

Everything here blocks on the disk: call it from a thread.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row
from typing import Any, Literal, get_args

import orjson

from streaming_server.errors import InUse, SpeechError, UnknownJob
from streaming_server.storage.database import Database, storage_errors
from streaming_server.storage.files import move_whole, remove_strays

JobStatus = Literal["pending", "processing", "completed", "failed", "cancelled", "interrupted"]
"""`interrupted`: the server ended while it was being spoken; it can be tried again."""

JOB_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
OVER: frozenset[JobStatus] = frozenset({"completed", "failed", "cancelled", "interrupted"})

_RESULT = re.compile(r"[0-9a-f]{32}\.\w+")
"""A job's id, and the format or `part`. What else lies in the folder is somebody else's."""


@dataclass(frozen=True, slots=True)
class Job:
    """One text on its way into a file.

    request: what was asked for, as the route understood it. Times are seconds since 1970. utterances,
    audio_s: how far it came. file: the result, once it is completed.
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


class Jobs:
    """The table of jobs and the folder of their results."""

    def __init__(self, database: Database, directory: Path) -> None:
        self._database = database
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def discard_partial(self, job_id: str) -> None:
        """Remove what was written of a job that will not be whole. Raises StorageFailure."""
        with storage_errors():
            self.partial_file(job_id).unlink(missing_ok=True)

    def add(self, request: dict[str, Any]) -> Job:
        """A new job, last in the queue. Raises StorageFailure."""
        job_id = secrets.token_hex(16)
        with self._database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO jobs (id, status, request, created_at) VALUES (?, 'pending', ?, ?)",
                (job_id, orjson.dumps(request), time.time()),
            )
        return self.get(job_id)

    def get(self, job_id: str) -> Job:
        """Raises UnknownJob."""
        with self._database.reading() as cursor:
            row = cursor.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise UnknownJob("No job has this id.")
        return self._job(row)

    def list(self, status: JobStatus | None = None, limit: int = 50) -> list[Job]:
        """The latest, newest first."""
        with self._database.reading() as cursor:
            rows = cursor.execute(
                "SELECT * FROM jobs WHERE ?1 IS NULL OR status = ?1 ORDER BY number DESC LIMIT ?2",
                (status, limit),
            ).fetchall()
        return [self._job(row) for row in rows]

    def counts(self) -> dict[JobStatus, int]:
        """How many there are of each status."""
        with self._database.reading() as cursor:
            rows = cursor.execute("SELECT status, count(*) AS jobs FROM jobs GROUP BY status").fetchall()
        found = {row["status"]: row["jobs"] for row in rows}
        return {status: found.get(status, 0) for status in JOB_STATUSES}

    def next(self) -> Job | None:
        """The longest waiting, now being processed; None if none waits."""
        with self._database.transaction() as cursor:
            row = cursor.execute(
                "UPDATE jobs SET status = 'processing', started_at = ? WHERE number ="
                " (SELECT min(number) FROM jobs WHERE status = 'pending') RETURNING *",
                (time.time(),),
            ).fetchone()
        return self._job(row) if row is not None else None

    def partial_file(self, job_id: str) -> Path:
        """Where its sound is written until it is whole."""
        return self._directory / f"{job_id}.part"

    def complete(self, job_id: str, extension: str, utterances: int, audio_s: float) -> Job:
        """The partial file, flushed to the disk, is the result.

        Raises StorageFailure; InUse where the job was cancelled meanwhile, and UnknownJob where it was
        cleared too: then there is no result.
        """
        name = f"{job_id}.{extension}"
        with storage_errors():
            move_whole(self.partial_file(job_id), self._directory / name)
        try:
            return self._finish(job_id, "completed", utterances, audio_s, file=name)
        except SpeechError:
            (self._directory / name).unlink(missing_ok=True)
            raise

    def fail(self, job_id: str, code: str, message: str, utterances: int, audio_s: float) -> Job:
        """Raises InUse for one that is over, UnknownJob."""
        job = self._finish(job_id, "failed", utterances, audio_s, error=(code, message))
        self.discard_partial(job_id)
        return job

    def cancel(self, job_id: str, utterances: int = 0, audio_s: float = 0.0) -> Job:
        """Only one that is not over. Raises InUse, UnknownJob."""
        return self._finish(job_id, "cancelled", utterances, audio_s)

    def retry(self, job_id: str) -> Job:
        """Put an interrupted, failed or cancelled job last in the queue. Raises InUse, UnknownJob."""
        with self._database.transaction() as cursor:
            row = cursor.execute(
                "UPDATE jobs SET status = 'pending', started_at = NULL, finished_at = NULL, utterances = 0,"
                " audio_s = 0, error_code = NULL, error_message = NULL,"
                " number = (SELECT max(number) + 1 FROM jobs)"
                " WHERE id = ? AND status IN ('interrupted', 'failed', 'cancelled') RETURNING *",
                (job_id,),
            ).fetchone()
        if row is None:
            self.get(job_id)
            raise InUse("Only a job that was interrupted, failed or cancelled can be tried again.")
        return self._job(row)

    def recover(self) -> int:
        """After a start: mark what was being spoken as interrupted, remove files of no job. How many were."""
        with self._database.transaction() as cursor:
            interrupted = cursor.execute(
                "UPDATE jobs SET status = 'interrupted', finished_at = ? WHERE status = 'processing'",
                (time.time(),),
            ).rowcount
            rows = cursor.execute("SELECT file FROM jobs WHERE file IS NOT NULL").fetchall()
        kept = {row["file"] for row in rows}
        with storage_errors():
            remove_strays(self._directory, _RESULT, kept)
        return interrupted

    def expire(self, before: float) -> int:
        """Remove jobs that were over before a time, and their results; how many. Raises StorageFailure."""
        return self._remove("finished_at < ?", (before,))

    def clear(self) -> int:
        """Remove every job that is over, and its result; how many. Raises StorageFailure."""
        return self._remove("TRUE", ())

    def _remove(self, condition: str, values: Iterable[Any]) -> int:
        """The results first, as they may be what fills the disk; a job whose result stays, stays with it."""
        statuses = ", ".join(f"'{status}'" for status in sorted(OVER))
        over = f"status IN ({statuses})"
        with self._database.reading() as cursor:
            rows = cursor.execute(f"SELECT id, file FROM jobs WHERE {over} AND {condition}", tuple(values))
            chosen = [(row["id"], row["file"]) for row in rows]
        removed, failure = [], None
        for job_id, file in chosen:
            try:
                if file is not None:
                    (self._directory / file).unlink(missing_ok=True)
                removed.append((job_id,))
            except OSError as error:
                failure = error
        with self._database.transaction() as cursor:
            cursor.executemany(f"DELETE FROM jobs WHERE id = ? AND {over}", removed)
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
        """Of two that would end a job, the first does. Raises InUse for one that is over, UnknownJob."""
        code, message = error or (None, None)
        with self._database.transaction() as cursor:
            row = cursor.execute(
                "UPDATE jobs SET status = ?, finished_at = ?, utterances = ?, audio_s = ?, file = ?,"
                " error_code = ?, error_message = ? WHERE id = ? AND status IN ('pending', 'processing')"
                " RETURNING *",
                (status, time.time(), utterances, audio_s, file, code, message, job_id),
            ).fetchone()
        if row is None:
            self.get(job_id)
            raise InUse("The job is over already.")
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
