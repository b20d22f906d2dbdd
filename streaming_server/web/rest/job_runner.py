"""Speaks the jobs that wait, a few at a time, in the background of everything else."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from pathlib import Path
from typing import IO

import anyio
import structlog
from anyio import to_thread
from pydantic import ValidationError

from streaming_server.audio.coder import Coder
from streaming_server.errors import (
    BadValue,
    Draining,
    InternalError,
    InUse,
    SpeechError,
    StorageFailure,
    Unavailable,
    UnknownJob,
)
from streaming_server.jobs.queue import RunningJob
from streaming_server.storage.database import storage_errors
from streaming_server.storage.jobs import Job
from streaming_server.web.reading import Reading, Wish, open_reading
from streaming_server.web.rest.generate_request import GenerateRequest
from streaming_server.web.services import Parts

AT_ONCE = 2
ATTEMPTS = 3
"""Of a job whose worker died or that found no place."""
ROOM_EVERY_S = 0.25
DISK_EVERY_S = 5.0
"""How often a disk that failed is tried again."""
FASTEST_BESIDE_LISTENERS = 8.0
"""How many times as fast as it is heard a job is spoken while somebody listens: there are processors to be
shared, and nobody waits for it."""

log = structlog.stdlib.get_logger(__name__)


class JobRunner:
    """Takes the jobs in the order they came."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._jobs = parts.jobs
        self._queue = parts.job_queue
        self._coding = anyio.CapacityLimiter(max(1, min(AT_ONCE, (os.cpu_count() or 1) // 2)))

    async def run(self) -> None:
        """Until cancelled. What is being spoken then is interrupted, and can be tried again."""
        if interrupted := await self._recovered():
            log.warning("jobs were interrupted", jobs=interrupted)
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(self._work)

    async def _recovered(self) -> int:
        """How many the last run of the server left behind. Until that is noted, none is begun."""
        while True:
            try:
                return await to_thread.run_sync(self._jobs.recover)
            except StorageFailure as error:
                log.warning("what was interrupted cannot be noted", reason=error.message)
                await anyio.sleep(DISK_EVERY_S)

    async def _work(self) -> None:
        while not (self._queue.stopping or self._parts.limits.draining):
            arrival = self._queue.arrival()
            try:
                job = await to_thread.run_sync(self._jobs.next)
            except StorageFailure as error:
                log.warning("no job can be begun", reason=error.message)
                await anyio.sleep(DISK_EVERY_S)
                continue
            if job is None:
                await arrival.wait()
            else:
                await self._serve(job)

    async def _serve(self, job: Job) -> None:
        async with self._queue.begun(job) as run:
            try:
                with run.scope:
                    if await self._still_wanted(job.id):
                        await self._speak(run)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._tidy(job.id)

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

    async def _speak(self, run: RunningJob) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            while not self._parts.pool.has_room:  # noqa: ASYNC110 - it comes and goes with every utterance
                await anyio.sleep(ROOM_EVERY_S)
            try:
                await self._read_into_file(run)
                return
            except (InUse, UnknownJob, Draining):
                return  # Cancelled at the last moment; or interrupted, as the next start will find.
            except SpeechError as error:
                if isinstance(error, Unavailable) and attempt < ATTEMPTS:
                    continue
                await self._fail(run, error)
                return
            except Exception as error:
                log.error("job failed", job=run.job.id, error=type(error).__name__)
                log.debug("job failed here", exc_info=error)
                await self._fail(run, InternalError("Something went wrong here; it has been noted."))
                return

    async def _read_into_file(self, run: RunningJob) -> None:
        engine = await self._parts.pool.engine()
        wish = _wish(run.job)
        path = self._jobs.partial_file(run.job.id)
        with (
            open_reading(self._parts, engine, wish, self._coding) as reading,
            closing(Coder(wish.audio_format, reading.sample_rate, self._coding)) as coder,
        ):
            out = await to_thread.run_sync(_open, path)
            try:
                async with aclosing(self._paced(run, reading)) as sound:
                    async for pcm in sound:
                        await _write(out, await coder.push(pcm))
                await _write(out, await coder.finish())
                await to_thread.run_sync(_write_head, out, coder.final_head())
            finally:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(out.close)
        done = await to_thread.run_sync(
            self._jobs.complete, run.job.id, wish.audio_format, reading.utterances, reading.audio_s
        )
        log.info("job done", job=done.id, audio_s=round(done.audio_s, 2))

    async def _paced(self, run: RunningJob, reading: Reading) -> AsyncGenerator[bytes, None]:
        """The PCM as it is made; while somebody listens to other speech, a little at a time."""
        async with aclosing(reading.pcm()) as sound:
            async for pcm in sound:
                due = time.monotonic() + len(pcm) / 2 / reading.sample_rate / FASTEST_BESIDE_LISTENERS
                run.utterances, run.audio_s = reading.utterances, reading.audio_s
                yield pcm
                if self._parts.contexts.attended:
                    await anyio.sleep(max(0.0, due - time.monotonic()))

    async def _fail(self, run: RunningJob, error: SpeechError) -> None:
        log.warning("job failed", job=run.job.id, code=error.code)
        await self._tidy(run.job.id)  # Its unfinished result may be what fills the disk.
        while True:
            try:
                await to_thread.run_sync(
                    self._jobs.fail, run.job.id, error.code, error.message, run.utterances, run.audio_s
                )
            except (InUse, UnknownJob):
                pass  # Cancelled meanwhile, and nobody wants to know.
            except StorageFailure as failure:
                log.warning("that it failed cannot be noted", job=run.job.id, reason=failure.message)
                await anyio.sleep(DISK_EVERY_S)
                continue
            return


def _wish(job: Job) -> Wish:
    """Raises BadValue for one that an earlier version of the server took in, and this one would not."""
    try:
        return GenerateRequest.model_validate(job.request).wish
    except ValidationError as error:
        raise BadValue("This server cannot speak a request of this form any more: send it anew.") from error


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
