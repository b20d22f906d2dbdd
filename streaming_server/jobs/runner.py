"""Speaks waiting jobs in the background, a few at a time."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from math import inf
from pathlib import Path
from typing import IO, Any, Protocol

import anyio
import structlog
from anyio import to_thread

from streaming_server.backoff import jittered_delays
from streaming_server.errors import (
    Draining,
    EngineFailure,
    InternalError,
    InUse,
    NotReady,
    SpeechError,
    StorageFailure,
    StoreUnavailable,
    Unavailable,
    UnknownJob,
)
from streaming_server.jobs.queue import JobQueue, RunningJob
from streaming_server.storage.database import storage_errors
from streaming_server.storage.job_records import Job, Recovered
from streaming_server.storage.jobs import Jobs
from streaming_server.storage.leases import RENEW_S

CONCURRENT_JOBS = 2
MAX_ATTEMPTS = 3
"""Attempts at a job whose worker died, whose voice could not be fetched or that no worker had room for."""
ROOM_POLL_S = 0.25
STORAGE_RETRY_S = 5.0
"""Seconds between attempts to read or write a store that failed."""
MAX_SPEED_BESIDE_LISTENERS = 8.0
"""Speed of jobs, as a multiple of real time, while clients listen to other speech."""

log = structlog.stdlib.get_logger(__name__)


class JobSpeech(Protocol):
    """The speech of one job. utterances, audio_s: how much has been spoken, audio_s in seconds."""

    @property
    def utterances(self) -> int: ...
    @property
    def audio_s(self) -> float: ...
    def audio(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the bytes of the audio file. Raise SpeechError."""

    def final_head(self) -> bytes:
        """Return what to write over the start of the file now that its length is known; may be empty."""


OpenSpeech = Callable[[Mapping[str, Any], anyio.CapacityLimiter], AbstractAsyncContextManager[JobSpeech]]
"""Opens the speech of a job's request; the limiter bounds the threads that encode it. Raise SpeechError."""


class JobRunner:
    """Takes jobs in order.

    has_room: whether a worker can take more speech. has_listeners: whether clients wait for other speech;
    jobs then leave processor time to it. draining: whether no new job may begin. voice_timeout_s: how long
    the download of a voice may take.
    """

    def __init__(
        self,
        jobs: Jobs,
        queue: JobQueue,
        open_speech: OpenSpeech,
        *,
        has_room: Callable[[], bool],
        has_listeners: Callable[[], bool],
        draining: Callable[[], bool],
        voice_timeout_s: float,
    ) -> None:
        self._jobs = jobs
        self._queue = queue
        self._open_speech = open_speech
        self._has_room = has_room
        self._has_listeners = has_listeners
        self._draining = draining
        self._voice_timeout_s = voice_timeout_s
        threads = max(1, min(CONCURRENT_JOBS, (os.cpu_count() or 1) // 2))
        self._encoding_threads = anyio.CapacityLimiter(threads)

    async def run(self) -> None:
        """Run until cancelled. A job that is cut off waits for another server or, without one, becomes
        interrupted at the next start."""
        await self._settle_at_start()
        async with anyio.create_task_group() as group:
            if self._jobs.shared:
                group.start_soon(self._keep_leases)
                group.start_soon(self._settle_lost)
            for _ in range(CONCURRENT_JOBS):
                group.start_soon(self._work)

    async def _settle_at_start(self) -> None:
        """Settle the jobs that were left behind. No job begins before that is stored."""
        while True:
            try:
                _report(await to_thread.run_sync(self._jobs.recover))
                await to_thread.run_sync(self._jobs.sweep)
                return
            except SpeechError as error:
                log.warning("cannot settle the jobs that were left behind", reason=error.message)
                await anyio.sleep(STORAGE_RETRY_S)

    async def _keep_leases(self) -> None:
        """Renew the leases of the jobs being spoken."""
        while True:
            await anyio.sleep(RENEW_S)
            try:
                await self.renew()
            except SpeechError as error:  # A lease outlives several attempts.
                log.warning("cannot renew the leases of jobs", reason=error.message)

    async def _settle_lost(self) -> None:
        """Settle the jobs that other servers lost.

        In a task of its own, as a slow object store must not cost this server its own leases.
        """
        while True:
            await anyio.sleep(RENEW_S)
            try:
                await self.renew()  # After an outage of the database, its own are not lost.
                _report(await to_thread.run_sync(self._jobs.recover))
            except SpeechError as error:
                log.warning("cannot settle the jobs that other servers lost", reason=error.message)
            self._queue.notify()  # A job of another server whose announcement was lost.

    async def renew(self) -> None:
        """Renew the leases of the jobs being spoken; stop those that are lost. Raise StorageFailure."""
        if held := self._queue.held():
            still = await to_thread.run_sync(self._jobs.renew, held)
            self._queue.lose(each.job for each in held if each.job.id not in still)

    async def _work(self) -> None:
        while not (self._queue.stopping or self._draining()):
            arrival = self._queue.arrival()
            try:
                job = await to_thread.run_sync(self._jobs.next)
            except SpeechError as error:  # A damaged database ends nothing else.
                log.warning("cannot begin a job", reason=error.message)
                await anyio.sleep(STORAGE_RETRY_S)
                continue
            if job is None:
                await arrival.wait()
            else:
                await self._run_job(job)

    async def _run_job(self, job: Job) -> None:
        async with self._queue.running_job(job) as running:
            try:
                with running.scope:
                    if await self._is_processing(job):
                        await self._attempt(running)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._leave(job)

    async def _is_processing(self, job: Job) -> bool:
        """Return False for a job that was cancelled after it was taken and before it was known as running."""
        try:
            found = await to_thread.run_sync(self._jobs.get, job.id)
            return found.status == "processing" and found.attempt == job.attempt
        except UnknownJob:
            return False
        except SpeechError:
            return True

    async def _leave(self, job: Job) -> None:
        """Delete what an unfinished job leaves behind and, if this server stops, let another one take it."""
        await self._discard_files(job)
        await to_thread.run_sync(self._jobs.discard_result, job)
        if self._queue.stopping or self._draining():
            with suppress(SpeechError):  # Its lease expires.
                await to_thread.run_sync(self._jobs.give_back, job)

    async def _discard_files(self, job: Job) -> None:
        """Delete an unfinished result. `sweep` deletes what cannot be deleted now."""
        try:
            await to_thread.run_sync(self._jobs.discard_partial, job)
        except StorageFailure as error:
            log.warning("cannot delete an unfinished result", reason=error.message)

    async def _attempt(self, running: RunningJob) -> None:
        """Speak a job, or fail it: at the last attempt if it was Unavailable, otherwise at once."""
        attempts = 0
        delays = jittered_delays(random.Random())
        voice_deadline = inf
        while True:
            try:
                await self._speak_in_turn(running)
                return
            except NotReady as error:  # Its voice is being fetched, which it has waited for already.
                now = time.monotonic()
                voice_deadline = min(voice_deadline, now + self._voice_timeout_s)
                if now >= voice_deadline:
                    await self._fail(running, error)
                    return
            except Unavailable as error:
                attempts += 1
                if attempts == MAX_ATTEMPTS:
                    await self._fail(running, error)
                    return
                await anyio.sleep(next(delays))

    async def _speak_in_turn(self, running: RunningJob) -> None:
        """Speak a job when a worker has room; fail it if that is of no use again.

        Raise NotReady, or Unavailable other than Draining, if it may succeed later.
        """
        while not self._has_room():  # noqa: ASYNC110 - room comes and goes with every utterance
            await anyio.sleep(ROOM_POLL_S)
        try:
            await self._speak(running)
        except (InUse, UnknownJob, Draining):
            return  # It was cancelled, is left to another server, or will be interrupted.
        except (NotReady, Unavailable):
            raise
        except SpeechError as error:
            await self._fail(running, error)
        except Exception as error:  # It must not end the runner.
            log.error("job raised an exception", job=running.job.id, error=type(error).__name__)
            log.debug("job raised an exception here", exc_info=error)
            await self._fail(running, InternalError("Internal error; see the server's log."))

    async def _speak(self, running: RunningJob) -> None:
        """Speak a job into its file and complete it."""
        job = running.job
        async with self._open_speech(job.request, self._encoding_threads) as speech:
            out = await to_thread.run_sync(_open, self._jobs.partial_file(job))
            try:
                async with aclosing(self._paced(running, speech)) as audio:
                    async for data in audio:
                        if data:
                            await to_thread.run_sync(_write, out, data)
                await to_thread.run_sync(_write_head, out, speech.final_head())
            finally:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(_close, out)
        await self._complete(running, await self._keep_result(job))

    async def _paced(self, running: RunningJob, speech: JobSpeech) -> AsyncGenerator[bytes, None]:
        """Yield the audio as it is generated, at a limited speed while clients listen to other speech."""
        async with aclosing(speech.audio()) as audio:
            async for data in audio:
                due = time.monotonic() + (speech.audio_s - running.audio_s) / MAX_SPEED_BESIDE_LISTENERS
                running.utterances, running.audio_s = speech.utterances, speech.audio_s
                yield data
                if self._has_listeners():
                    await anyio.sleep(max(0.0, due - time.monotonic()))
        running.utterances, running.audio_s = speech.utterances, speech.audio_s

    async def _keep_result(self, job: Job) -> str:
        """Store a finished result, however long the object store is away, and return its name.

        Raise StorageFailure if the disk fails.
        """
        while True:
            try:
                return await to_thread.run_sync(self._jobs.keep_result, job)
            except StoreUnavailable as error:
                log.warning("cannot store a result yet", job=job.id, reason=error.message)
                await anyio.sleep(STORAGE_RETRY_S)

    async def _complete(self, running: RunningJob, file_name: str) -> None:
        """Mark a job whose result is on the disk as completed, however long the database takes.

        Raise InUse or UnknownJob if the job was cancelled.
        """
        job = running.job
        while True:
            try:
                await to_thread.run_sync(
                    self._jobs.complete, job, file_name, running.utterances, running.audio_s
                )
                break
            except (StorageFailure, EngineFailure) as error:
                # `recover` completes it if the server stops before that.
                log.warning("cannot mark a job as completed yet", job=job.id, reason=error.message)
                await anyio.sleep(STORAGE_RETRY_S)
        log.info("job done", job=job.id, audio_s=round(running.audio_s, 2))

    async def _fail(self, running: RunningJob, error: SpeechError) -> None:
        log.warning("job failed", job=running.job.id, code=error.code)
        await self._discard_files(running.job)  # They may be what fills the disk.
        while True:
            try:
                await to_thread.run_sync(
                    self._jobs.fail,
                    running.job,
                    error.code,
                    error.message,
                    running.utterances,
                    running.audio_s,
                )
            except (InUse, UnknownJob):
                pass  # It was cancelled.
            except SpeechError as failure:
                log.warning("cannot mark a job as failed yet", job=running.job.id, reason=failure.message)
                await anyio.sleep(STORAGE_RETRY_S)
                continue
            return


def _report(recovered: Recovered) -> None:
    if recovered.interrupted:
        log.warning("jobs were interrupted", jobs=recovered.interrupted)
    if recovered.requeued:
        log.warning("jobs of a lost server wait again", jobs=recovered.requeued)


def _open(path: Path) -> IO[bytes]:
    with storage_errors():
        return path.open("wb")


def _write(out: IO[bytes], data: bytes) -> None:
    with storage_errors():
        out.write(data)


def _close(out: IO[bytes]) -> None:
    """Close the file. Closing writes what is still buffered after a failed write, which fails again."""
    with suppress(OSError):
        out.close()


def _write_head(out: IO[bytes], head: bytes) -> None:
    with storage_errors():
        out.seek(0)
        out.write(head)
        out.flush()
