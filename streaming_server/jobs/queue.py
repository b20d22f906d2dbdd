"""The jobs that wait and those being spoken: add, cancel, retry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio import to_thread

from streaming_server.storage.job_records import Job, SpokenProgress
from streaming_server.storage.jobs import Jobs

MAX_PENDING = 1000


@dataclass(eq=False, slots=True)
class RunningJob:
    """A job being spoken.

    utterances, audio_s: how much has been spoken. ended: set when nothing more is spoken and its unfinished
    files are deleted.
    """

    job: Job
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    utterances: int = 0
    audio_s: float = 0.0
    ended: anyio.Event = field(default_factory=anyio.Event)


class JobQueue:
    """The table of jobs, and which of them are running in this process."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._running: dict[str, RunningJob] = {}
        self._arrival = anyio.Event()
        self._stopping = False

    async def add(self, request: dict[str, Any]) -> Job:
        """Append a job. Raise Full, StorageFailure."""
        job = await to_thread.run_sync(lambda: self._jobs.add(request, max_pending=MAX_PENDING))
        self._arrival.set()
        return job

    async def retry(self, job_id: str) -> Job:
        """Queue a job again that ended without a result. Raise UnknownJob, InUse."""
        if (running := self._running.get(job_id)) is not None and running.scope.cancel_called:
            await running.ended.wait()
        job = await to_thread.run_sync(self._jobs.retry, job_id)
        self._arrival.set()
        return job

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job, and wait until this server has stopped speaking it.

        Other servers are notified through the database.
        Raise UnknownJob, InUse.
        """
        running = self._running.get(job_id)
        reached = (running.utterances, running.audio_s) if running is not None else (0, 0.0)
        job = await to_thread.run_sync(self._jobs.cancel, job_id, *reached)
        if (running := self._running.get(job_id)) is not None:
            running.scope.cancel()
            await running.ended.wait()
        return job

    def progress(self, job: Job) -> dict[str, Any]:
        """Return how much of a job has been spoken: utterances, and seconds of audio."""
        at = self._running.get(job.id, job)
        return {"utterances": at.utterances, "audio_s": round(at.audio_s, 2)}

    def held(self) -> list[SpokenProgress]:
        """Return the jobs that this server speaks."""
        return [SpokenProgress(each.job, each.utterances, each.audio_s) for each in self._running.values()]

    def lose(self, jobs: Iterable[Job]) -> None:
        """Stop speaking jobs that were cancelled elsewhere or taken over by another server."""
        for job in jobs:
            running = self._running.get(job.id)
            if running is not None and running.job == job:
                running.scope.cancel()

    def notify(self) -> None:
        """Wake the runner to look for a waiting job."""
        self._arrival.set()

    def running(self) -> list[dict[str, Any]]:
        """Return the progress of every job being spoken."""
        return [{"id": job.id, **self.progress(job)} for job in (each.job for each in self._running.values())]

    @property
    def stopping(self) -> bool:
        return self._stopping

    def stop(self) -> None:
        """Cancel the running jobs and begin no more; the server is shutting down."""
        self._stopping = True
        for running in self._running.values():
            running.scope.cancel()

    def arrival(self) -> anyio.Event:
        """Return an event that is set when a job is added. Get it before looking for a job."""
        if self._arrival.is_set():
            self._arrival = anyio.Event()
        return self._arrival

    @asynccontextmanager
    async def running_job(self, job: Job) -> AsyncIterator[RunningJob]:
        """Register a job as running inside the block."""
        while (before := self._running.get(job.id)) is not None:
            await before.ended.wait()  # It failed and was retried at once.
        self._running[job.id] = running = RunningJob(job)
        if self._stopping:
            running.scope.cancel()
        try:
            yield running
        finally:
            del self._running[job.id]
            running.ended.set()
