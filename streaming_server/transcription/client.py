"""The server's side of transcription: a queue of requests for a child process."""

from __future__ import annotations

import importlib.metadata
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import structlog

from streaming_server.errors import BadAudio, BadValue, Draining, Full, SpeechError, Unavailable
from streaming_server.transcription.process import ProcessLost, WhisperProcess
from streaming_server.transcription.transcript import Transcript

TranscriptionState = Literal["off", "loading", "ready", "failed"]
"""off: no process. loading, ready: the state of its model. failed: the last process ended with an error."""

WHISPER_SIZES = (
    "tiny",
    "tiny.en",
    "base",
    "base.en",
    "small",
    "small.en",
    "medium",
    "medium.en",
    "large",
    "large-v1",
    "large-v2",
    "large-v3",
    "large-v3-turbo",
    "turbo",
)
"""Names of openai-whisper's models. Asking the package would load PyTorch into the server."""

MOST_WAITING = 16
"""Requests in the queue, besides the one being answered."""
_NOT_INSTALLED = 'openai-whisper is not installed: pip install "streaming-server[whisper]".'
_NOT_RUNNING = "The server is not taking transcriptions."

log = structlog.stdlib.get_logger(__name__)


class Transcription:
    """Transcribes voice samples one at a time, in a child process started on demand and ended when idle.

    model: a size of Whisper ("base") or the path of a checkpoint. choose_device: called whenever a process is
    started; returns a device as in `WhisperProcess`. idle_s: seconds without a request after which the
    process is ended. timeout_s: seconds within which every request is answered, including its time in the
    queue. load_timeout_s: seconds a process may take to load the model, including the download.

    Requests are answered only while `run` runs.
    """

    def __init__(
        self,
        model: str,
        choose_device: Callable[[], str],
        *,
        idle_s: float = 300.0,
        timeout_s: float = 180.0,
        load_timeout_s: float = 900.0,
    ) -> None:
        self._model = model
        self._choose_device = choose_device
        self._idle_s = idle_s
        self._timeout_s = timeout_s
        self._load_timeout_s = load_timeout_s
        self._installed = _is_installed()
        self._running = False
        self._process: WhisperProcess | None = None
        self._loading = False
        self._reason: str | None = None
        self._waiting: deque[_Job] = deque()
        self._job: _Job | None = None
        self._arrival = anyio.Event()

    @property
    def state(self) -> TranscriptionState:
        if self._loading:
            return "loading"
        if self._process is not None:
            return "ready" if self._process.alive else "failed"
        return "off" if self._reason is None else "failed"

    @property
    def pid(self) -> int | None:
        """The process id of the transcriber while it runs."""
        return self._process.pid if self._process is not None and self._process.alive else None

    def status(self) -> dict[str, Any]:
        """Return the answer of `/whisper/status`. reason: why there is no model or the last one failed."""
        process, state = self._process, self.state
        reason = self._reason
        if state == "failed" and process is not None:
            reason = process.failure
        return {
            "available": self._installed,
            "model_loaded": state == "ready",
            "model_size": Path(self._model).stem if os.sep in self._model else self._model,
            "device": process.device if process is not None and process.alive else None,
            "state": state,
            "busy": self._job is not None,
            "waiting": len(self._waiting),
            "reason": reason if self._installed else _NOT_INSTALLED,
        }

    async def transcribe(self, path: Path, duration_s: float) -> Transcript:
        """Return the transcript of a file of `duration_s` seconds.

        Raise BadAudio if the file cannot be read, Full if too many requests wait, and Unavailable, with what
        to do about it, if there is no answer in time or no model. Cancelling leaves the queue.
        """
        job = _Job(path, duration_s, anyio.current_time() + self._timeout_s)
        await self._ask(job)
        assert job.transcript is not None
        return job.transcript

    def use(self, model: str) -> None:
        """Use another model from the next request on."""
        self._model = model

    async def load(self) -> None:
        """Load the model if it is not loaded. Raise Unavailable."""
        if self.state != "ready" or (self._process is not None and self._process.model != self._model):
            await self._ask(_Job(None, 0.0, anyio.current_time() + self._load_timeout_s))

    async def _ask(self, job: _Job) -> None:
        if not self._installed:
            raise Unavailable(_NOT_INSTALLED)
        if not self._running:
            raise Draining(_NOT_RUNNING)
        if len(self._waiting) >= MOST_WAITING:
            raise Full("Too many transcriptions are waiting; try again later.")
        self._waiting.append(job)
        self._arrival.set()
        try:
            with anyio.move_on_after(job.deadline - anyio.current_time()):
                await job.done.wait()
        finally:
            job.abandoned = True
            with suppress(ValueError):
                self._waiting.remove(job)
        if job.error is not None:
            raise job.error
        if not job.done.is_set():
            raise self._lateness(job)

    def _lateness(self, job: _Job) -> Unavailable:
        """Return why a job is late: Full if it is not the job's fault."""
        if job is not self._job:
            return Full("The transcription waited too long behind others; try again later.")
        if self._loading:
            return Full("Whisper is still being loaded; try again later.")
        return Unavailable("The transcription took too long.")

    async def run(self) -> None:
        """Answer requests until cancelled, then terminate the process."""
        self._running = True
        try:
            while True:
                job = await self._next_job()
                if job is None:
                    await self._stop_process("idle")
                elif not job.abandoned:
                    self._job = job
                    await self._serve(job)
                    self._job = None
        finally:
            self._running = False
            with anyio.CancelScope(shield=True):
                self._fail_all(Draining(_NOT_RUNNING))
                await self._stop_process("stopped")

    async def _next_job(self) -> _Job | None:
        """Return the next request, or None once the process has been idle for `idle_s`."""
        if not self._waiting:
            self._arrival = anyio.Event()
            with anyio.move_on_after(None if self._process is None else self._idle_s):
                await self._arrival.wait()
        return self._waiting.popleft() if self._waiting else None

    async def _serve(self, job: _Job) -> None:
        """Answer one request. Leaves a process that can take the next one, or none."""
        try:
            process = await self._loaded_process()
        except SpeechError as error:
            # Those that wait now would fail the same way; a later request tries again.
            self._fail_all(error)
            return
        if job.path is None or job.abandoned:
            job.done.set()
            return
        try:
            with anyio.fail_after(max(0.0, job.deadline - anyio.current_time())):
                job.transcript = await process.transcribe(job.path, job.duration_s)
                job.done.set()
        except BadAudio as error:
            job.fail(error)
        except TimeoutError:
            job.fail(await self._discard_process("The transcription took too long."))
        except ProcessLost:
            await process.end(grace=True)
            job.fail(await self._discard_process(process.failure))

    async def _loaded_process(self) -> WhisperProcess:
        """Return the process with the model loaded; start one if there is none. Raise SpeechError."""
        if self._process is not None and not self._process.alive:
            await self._discard_process(self._process.failure)
        if self._process is not None and self._process.model != self._model:
            await self._stop_process("model changed")
        if self._process is not None:
            return self._process
        self._reason = None
        self._loading = True
        try:
            device = self._choose_device()
            self._process = process = await WhisperProcess.start(self._model, device)
            with anyio.fail_after(self._load_timeout_s):
                await process.loaded()
        except TimeoutError:
            raise await self._discard_process("Whisper took too long to load.") from None
        except OSError as error:
            raise await self._discard_process(f"Whisper could not be started: {error.strerror}.") from error
        except ProcessLost:
            await process.end(grace=True)
            raise await self._discard_process(process.failure) from None
        finally:
            self._loading = False
        log.info("transcriber ready", pid=process.pid, device=device)
        return process

    async def _discard_process(self, reason: str) -> Unavailable:
        """Terminate the process, if any, after a failure; return the error to report."""
        self._reason = reason
        log.warning("transcriber lost", reason=reason)
        if self._process is not None:
            await self._process.end()
            self._process = None
        return Unavailable(reason)

    async def _stop_process(self, why: str) -> None:
        if self._process is not None:
            log.info("transcriber ended", pid=self._process.pid, reason=why)
            await self._process.end()
            self._process = None

    def _fail_all(self, error: SpeechError) -> None:
        for job in (*self._waiting, *([self._job] if self._job else [])):
            job.fail(type(error)(error.message))
        self._waiting.clear()
        self._job = None


@dataclass(slots=True, eq=False)
class _Job:
    """A file to transcribe; without a path, a request to load the model. deadline: on anyio's clock."""

    path: Path | None
    duration_s: float
    deadline: float
    abandoned: bool = False
    transcript: Transcript | None = None
    error: SpeechError | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    def fail(self, error: SpeechError) -> None:
        self.error = error
        self.done.set()


def check_model(model: str, configured: str, field: str) -> None:
    """Check that a model is a size of Whisper or the one the server was started with.

    No other file is accepted, so that the answer tells nothing about the disk. Raise BadValue for `field`.
    """
    if model not in (configured, *WHISPER_SIZES):
        raise BadValue(
            f"must be the model of --whisper-model or one of {', '.join(WHISPER_SIZES)}.", field=field
        )


def _is_installed() -> bool:
    """Return whether openai-whisper is installed, without importing it or torch."""
    try:
        importlib.metadata.version("openai-whisper")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
