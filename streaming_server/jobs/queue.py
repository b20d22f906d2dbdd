"""The jobs that wait and those being spoken, for whoever adds, stops or watches one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio import to_thread

from streaming_server.errors import Full
from streaming_server.storage.jobs import Job, Jobs

MOST_WAITING = 1000


@dataclass(eq=False, slots=True)
class RunningJob:
    """A job being spoken. utterances, audio_s: how far it is. ended: nothing more of it is spoken, and no
    file is left."""

    job: Job
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    utterances: int = 0
    audio_s: float = 0.0
    ended: anyio.Event = field(default_factory=anyio.Event)


class JobQueue:
    """Beside the table of jobs, what is known only while the server runs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._running: dict[str, RunningJob] = {}
        self._arrival = anyio.Event()
        self._stopping = False

    # For those who want something spoken.

    async def add(self, request: dict[str, Any]) -> Job:
        """A new job, last in the queue. Raises Full, StorageFailure."""
        if (await to_thread.run_sync(self._jobs.counts))["pending"] >= MOST_WAITING:
            raise Full(f"{MOST_WAITING} jobs are waiting: try again when some are done, or cancel some.")
        job = await to_thread.run_sync(self._jobs.add, request)
        self._arrival.set()
        return job

    async def retry(self, job_id: str) -> Job:
        """Raises UnknownJob, InUse."""
        if (run := self._running.get(job_id)) is not None and run.scope.cancel_called:
            await run.ended.wait()
        job = await to_thread.run_sync(self._jobs.retry, job_id)
        self._arrival.set()
        return job

    async def cancel(self, job_id: str) -> Job:
        """Stop it, at any stage; nothing more of it is spoken when this returns. Raises UnknownJob, InUse."""
        run = self._running.get(job_id)
        reached = (run.utterances, run.audio_s) if run is not None else (0, 0.0)
        job = await to_thread.run_sync(self._jobs.cancel, job_id, *reached)
        if (run := self._running.get(job_id)) is not None:
            run.scope.cancel()
            await run.ended.wait()
        return job

    def progress(self, job: Job) -> dict[str, Any]:
        """How far a job is: sentences done and seconds of audio made."""
        at = self._running.get(job.id, job)
        return {"utterances": at.utterances, "audio_s": round(at.audio_s, 2)}

    def running(self) -> list[dict[str, Any]]:
        """Every job being spoken, and how far it is."""
        return [{"id": run.job.id, **self.progress(run.job)} for run in self._running.values()]

    # For who speaks them.

    @property
    def stopping(self) -> bool:
        return self._stopping

    def stop(self) -> None:
        """The server is about to end: speak nothing more."""
        self._stopping = True
        for run in self._running.values():
            run.scope.cancel()

    def arrival(self) -> anyio.Event:
        """Set as soon as there may be another that waits. To be had before looking whether there is one."""
        if self._arrival.is_set():
            self._arrival = anyio.Event()
        return self._arrival

    @asynccontextmanager
    async def begun(self, job: Job) -> AsyncIterator[RunningJob]:
        """A job that was taken, as long as it is being spoken."""
        while (before := self._running.get(job.id)) is not None:
            await before.ended.wait()  # Tried again as soon as it had failed, it is still being tidied up.
        self._running[job.id] = run = RunningJob(job)
        if self._stopping:
            run.scope.cancel()
        try:
            yield run
        finally:
            del self._running[job.id]
            run.ended.set()
