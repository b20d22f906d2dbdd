"""Speaks the jobs that wait, a few at a time, in the background of everything else."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import anyio
import structlog
from anyio import to_thread

from streaming_server.database import storage_errors
from streaming_server.errors import (
    Draining,
    Full,
    InternalError,
    InUse,
    SpeechError,
    StorageFailure,
    Unavailable,
    UnknownJob,
)
from streaming_server.jobs import Job, Jobs
from streaming_server.web.coder import Coder
from streaming_server.web.reading import Reading, open_reading
from streaming_server.web.speech_request import SpeechRequest

if TYPE_CHECKING:
    from streaming_server.web.parts import Parts

AT_ONCE = 2
ATTEMPTS = 3
"""Of a job whose worker died or that found no place."""
ROOM_EVERY_S = 0.25
DISK_EVERY_S = 5.0
"""How often a disk that failed is tried again."""
MOST_WAITING = 1000
FASTEST_BESIDE_LISTENERS = 8.0
"""How many times as fast as it is heard a job is spoken while somebody listens: there are processors to be
shared, and nobody waits for it."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(eq=False, slots=True)
class _Run:
    """A job being spoken. reading: once it is. ended: nothing more of it is spoken, and no file is left."""

    job: Job
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    reading: Reading | None = None
    ended: anyio.Event = field(default_factory=anyio.Event)


class JobRunner:
    """Takes the jobs in the order they came."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._coding = anyio.CapacityLimiter(max(1, min(AT_ONCE, (os.cpu_count() or 1) // 2)))
        self._running: dict[str, _Run] = {}
        self._arrival = anyio.Event()
        self._stopping = False

    async def run(self, parts: Parts) -> None:
        """Until cancelled. What is being spoken then is interrupted, and can be tried again."""
        try:
            interrupted = await to_thread.run_sync(self._jobs.recover)
        except StorageFailure as error:
            log.warning("what was interrupted could not be noted", reason=error.message)
        else:
            if interrupted:
                log.warning("jobs were interrupted", jobs=interrupted)
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(self._work, parts)

    async def add(self, request: dict[str, Any]) -> Job:
        """A new job, last in the queue. Raises Full, StorageFailure."""
        if (await to_thread.run_sync(self._jobs.counts))["pending"] >= MOST_WAITING:
            raise Full(f"{MOST_WAITING} jobs are waiting: try again when some are done, or cancel some.")
        job = await to_thread.run_sync(self._jobs.add, request)
        self._wake()
        return job

    async def retry(self, job_id: str) -> Job:
        """Raises UnknownJob, InUse."""
        if (run := self._running.get(job_id)) is not None and run.scope.cancel_called:
            await run.ended.wait()
        job = await to_thread.run_sync(self._jobs.retry, job_id)
        self._wake()
        return job

    async def cancel(self, job_id: str) -> Job:
        """Stop it, at any stage; nothing more of it is spoken when this returns. Raises UnknownJob, InUse."""
        utterances, audio_s = _reached(self._running.get(job_id))
        job = await to_thread.run_sync(self._jobs.cancel, job_id, utterances, audio_s)
        if (run := self._running.get(job_id)) is not None:
            run.scope.cancel()
            await run.ended.wait()
        return job

    def stop(self) -> None:
        """The server is about to end: speak nothing more."""
        self._stopping = True
        for run in self._running.values():
            run.scope.cancel()

    def progress(self, job: Job) -> dict[str, Any]:
        """How far a job is: sentences done and seconds of audio made."""
        run = self._running.get(job.id)
        utterances, audio_s = _reached(run) if run is not None else (job.utterances, job.audio_s)
        return {"utterances": utterances, "audio_s": round(audio_s, 2)}

    def running(self) -> list[dict[str, Any]]:
        """Every job being spoken, and how far it is."""
        return [{"id": run.job.id, **self.progress(run.job)} for run in self._running.values()]

    def _wake(self) -> None:
        self._arrival.set()

    async def _work(self, parts: Parts) -> None:
        while not (self._stopping or parts.guard.draining):
            self._arrival = arrival = self._arrival if not self._arrival.is_set() else anyio.Event()
            try:
                job = await to_thread.run_sync(self._jobs.next)
            except StorageFailure as error:
                log.warning("no job can be begun", reason=error.message)
                await anyio.sleep(DISK_EVERY_S)
                continue
            if job is None:
                await arrival.wait()
            else:
                await self._serve(parts, _Run(job))

    async def _serve(self, parts: Parts, run: _Run) -> None:
        job_id = run.job.id
        while (before := self._running.get(job_id)) is not None:
            await before.ended.wait()  # Tried again as soon as it had failed, it is still being tidied up.
        self._running[job_id] = run
        if self._stopping:
            run.scope.cancel()
        try:
            with run.scope:
                if await self._still_wanted(job_id):
                    await self._speak(parts, run)
        finally:
            with anyio.CancelScope(shield=True):
                await self._tidy(job_id)
            del self._running[job_id]
            run.ended.set()

    async def _still_wanted(self, job_id: str) -> bool:
        """Whether nobody cancelled it between its being taken from the queue and its being known here."""
        try:
            return (await to_thread.run_sync(self._jobs.get, job_id)).status == "processing"
        except UnknownJob:
            return False
        except StorageFailure:
            return True

    async def _tidy(self, job_id: str) -> None:
        try:
            await to_thread.run_sync(self._jobs.discard_partial, job_id)
        except StorageFailure as error:
            log.warning("an unfinished result is left until the next start", reason=error.message)

    async def _speak(self, parts: Parts, run: _Run) -> None:
        job = run.job
        wanted = SpeechRequest.model_validate(job.request)
        for attempt in range(1, ATTEMPTS + 1):
            while not parts.pool.has_room:  # noqa: ASYNC110 - room comes and goes with every utterance
                await anyio.sleep(ROOM_EVERY_S)
            try:
                await self._read_into_file(parts, run, wanted)
                return
            except (InUse, UnknownJob, Draining):
                return  # Cancelled at the last moment; or interrupted, as the next start will find.
            except SpeechError as error:
                if isinstance(error, Unavailable) and attempt < ATTEMPTS:
                    continue
                await self._fail(run, error)
                return
            except Exception as error:
                log.error("job failed", job=job.id, error=type(error).__name__)
                log.debug("job failed here", exc_info=error)
                await self._fail(run, InternalError("Something went wrong here; it has been noted."))
                return

    async def _read_into_file(self, parts: Parts, run: _Run, wanted: SpeechRequest) -> None:
        engine = await parts.pool.engine()
        wish = wanted.wish
        path = self._jobs.partial_file(run.job.id)
        with open_reading(parts, engine, wish, self._coding) as reading:
            run.reading = reading
            with closing(Coder(wish.audio_format, reading.sample_rate, self._coding)) as writer:
                out = await to_thread.run_sync(_open, path)
                try:
                    async with aclosing(_paced(parts, reading)) as sound:
                        async for pcm in sound:
                            await _write(out, await writer.push(pcm))
                    await _write(out, await writer.finish())
                    await to_thread.run_sync(_write_head, out, writer.final_head())
                finally:
                    with anyio.CancelScope(shield=True):
                        await to_thread.run_sync(out.close)
        done = await to_thread.run_sync(
            self._jobs.complete, run.job.id, wish.audio_format, reading.utterances, reading.audio_s
        )
        log.info("job done", job=done.id, audio_s=round(done.audio_s, 2))

    async def _fail(self, run: _Run, error: SpeechError) -> None:
        utterances, audio_s = _reached(run)
        log.warning("job failed", job=run.job.id, code=error.code)
        await self._tidy(run.job.id)  # Its unfinished result may be what fills the disk.
        while True:
            try:
                await to_thread.run_sync(
                    self._jobs.fail, run.job.id, error.code, error.message, utterances, audio_s
                )
            except (InUse, UnknownJob):
                pass  # Cancelled meanwhile, and nobody wants to know.
            except StorageFailure as failure:
                log.warning("that it failed cannot be noted", job=run.job.id, reason=failure.message)
                await anyio.sleep(DISK_EVERY_S)
                continue
            return


def _reached(run: _Run | None) -> tuple[int, float]:
    if run is None or run.reading is None:
        return 0, 0.0
    return run.reading.utterances, run.reading.audio_s


async def _paced(parts: Parts, reading: Reading) -> AsyncGenerator[bytes, None]:
    """The PCM as it is made; while somebody listens to other speech, a little at a time."""
    async with aclosing(reading.pcm()) as sound:
        async for pcm in sound:
            due = time.monotonic() + len(pcm) / 2 / reading.sample_rate / FASTEST_BESIDE_LISTENERS
            yield pcm
            if parts.contexts.attended:
                await anyio.sleep(max(0.0, due - time.monotonic()))


def _open(path: Path) -> IO[bytes]:
    with storage_errors():
        return path.open("wb")


async def _write(out: IO[bytes], data: bytes) -> None:
    if data:
        await to_thread.run_sync(_write_now, out, data)


def _write_now(out: IO[bytes], data: bytes) -> None:
    with storage_errors():
        out.write(data)


def _write_head(out: IO[bytes], head: bytes) -> None:
    """Over the one that was written while the length was unknown."""
    with storage_errors():
        out.seek(0)
        out.write(head)
        out.flush()
