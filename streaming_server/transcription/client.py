"""Transcription as the server sees it: requests in a queue, and the child process that answers them."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import structlog
from anyio.abc import Process

from streaming_server.errors import BadAudio, BadValue, Draining, Full, SpeechError, Unavailable
from streaming_server.transcription.transcript import Segment, Transcript, heard

TranscriptionState = Literal["off", "loading", "ready", "failed"]
"""No child; a child that loads the model; one that has; the last one ended with an error."""

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
"""The models that openai-whisper knows by name. It is not asked: it would load PyTorch into the server."""

MOST_WAITING = 16
_LONGEST_LINE = 4 * 1024 * 1024
_NOT_INSTALLED = "openai-whisper is not installed: pip install '.[whisper]'."
_NOT_RUNNING = "The server is not taking transcriptions."

_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "TORCH_HOME"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR"}
)
_PASSED_ON_AS = (
    *("PYTHON", "LC_", "LD_", "DYLD_", "XDG_"),
    *("OMP_", "MKL_", "KMP_", "OPENBLAS_", "NUMBA_"),
    *("CUDA_", "NVIDIA_", "PYTORCH_", "CUBLAS_", "CUDNN_", "TRITON_", "HIP_", "ROCR_", "HSA_"),
)
"""What the names begin with that libraries, processors and GPUs are told of by."""
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})

log = structlog.stdlib.get_logger(__name__)


class Transcription:
    """Hears samples one at a time, in a child process started when first needed and ended when idle.

    model: a size of Whisper ("base") or the path of a checkpoint. choose_device: asked whenever a child is
    started; "cpu", or "cuda:N" with N the physical id of a GPU, in the order of the bus. download_root: where
    weights asked for by size are kept, by default openai-whisper's own cache. idle_s: seconds without a
    request after which the child is ended. timeout_s: seconds in which every request is answered, its time in
    the queue included. load_timeout_s: seconds a child may take to load the model, its download included.

    Nothing is answered unless `run` is running.
    """

    def __init__(
        self,
        model: str,
        choose_device: Callable[[], str],
        download_root: Path | None = None,
        *,
        idle_s: float = 300.0,
        timeout_s: float = 180.0,
        load_timeout_s: float = 900.0,
    ) -> None:
        self._model = model
        self._choose_device = choose_device
        self._download_root = download_root
        self._idle_s = idle_s
        self._timeout_s = timeout_s
        self._load_timeout_s = load_timeout_s
        self._installed = _is_installed()
        self._running = False
        self._child: _Child | None = None
        self._loading = False
        self._reason: str | None = None
        self._waiting: deque[_Job] = deque()
        self._job: _Job | None = None
        self._arrival = anyio.Event()

    @property
    def state(self) -> TranscriptionState:
        if self._loading:
            return "loading"
        if self._child is not None:
            return "ready" if self._child.alive else "failed"
        return "off" if self._reason is None else "failed"

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._child.pid if self._child is not None and self._child.alive else None

    def status(self) -> dict[str, Any]:
        """What `/whisper/status` tells. reason: why it is not available, or why the last child failed."""
        child, state = self._child, self.state
        reason = self._reason
        if state == "failed" and child is not None:
            reason = child.epitaph
        return {
            "available": self._installed,
            "model_loaded": state == "ready",
            "model_size": Path(self._model).stem if os.sep in self._model else self._model,
            "device": child.device if child is not None and child.alive else None,
            "state": state,
            "busy": self._job is not None,
            "waiting": len(self._waiting),
            "reason": reason if self._installed else _NOT_INSTALLED,
        }

    async def transcribe(self, path: Path, duration_s: float) -> Transcript:
        """What is said in a file of that many seconds.

        Raises BadAudio for a file that cannot be read, Full when too many wait, and Unavailable, with what to
        do, when there is no answer in time or the model cannot be had. Cancelling gives up the place in the
        queue.
        """
        job = _Job(path, duration_s, anyio.current_time() + self._timeout_s)
        await self._ask(job)
        assert job.transcript is not None
        return job.transcript

    def use(self, model: str) -> None:
        """From the next request on, another model."""
        self._model = model

    async def load(self) -> None:
        """Have the model loaded; returns when it is. Raises Unavailable."""
        if self.state != "ready" or (self._child is not None and self._child.model != self._model):
            await self._ask(_Job(None, 0.0, anyio.current_time() + self._load_timeout_s))

    async def _ask(self, job: _Job) -> None:
        if not self._installed:
            raise Unavailable(_NOT_INSTALLED)
        if not self._running:
            raise Draining(_NOT_RUNNING)
        if len(self._waiting) >= MOST_WAITING:
            raise Full("Too many transcriptions are waiting: try again later.")
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
            raise Unavailable(self._why_late(job))

    def _why_late(self, job: _Job) -> str:
        if job is not self._job:
            return "The transcription waited too long behind others: try again later."
        if self._loading:
            return "Whisper is still being loaded: try again later."
        return "The transcription took too long."

    async def run(self) -> None:
        """Serve until cancelled; the child ends with it."""
        self._running = True
        try:
            while True:
                job = await self._next_job()
                if job is None:
                    await self._end_child("idle")
                elif not job.abandoned:
                    self._job = job
                    await self._serve(job)
                    self._job = None
        finally:
            self._running = False
            with anyio.CancelScope(shield=True):
                self._fail_all(Draining(_NOT_RUNNING))
                await self._end_child("stopped")

    async def _next_job(self) -> _Job | None:
        """The next in the queue; None when the child has idled for long enough."""
        if not self._waiting:
            self._arrival = anyio.Event()
            with anyio.move_on_after(None if self._child is None else self._idle_s):
                await self._arrival.wait()
        return self._waiting.popleft() if self._waiting else None

    async def _serve(self, job: _Job) -> None:
        """One request, to its answer or its error. Returns with a child that can take the next, or none."""
        try:
            child = await self._ready_child()
        except SpeechError as error:
            # Nobody who waits would fare better; who asks later gets another try.
            self._fail_all(error)
            return
        if job.path is None or job.abandoned:
            job.done.set()
            return
        try:
            with anyio.fail_after(max(0.0, job.deadline - anyio.current_time())):
                job.transcript = await child.transcribe(job.path, job.duration_s)
                job.done.set()
        except BadAudio as error:
            job.fail(error)
        except TimeoutError:
            await self._lose_child("The transcription took too long.")
            job.fail(Unavailable("The transcription took too long."))
        except _ChildGone:
            await child.dead()
            reason = child.epitaph
            await self._lose_child(reason)
            job.fail(Unavailable(reason))

    async def _ready_child(self) -> _Child:
        """A child with the model loaded: the one there is, or a new one. Raises SpeechError."""
        if self._child is not None and not self._child.alive:
            await self._lose_child(self._child.epitaph)
        if self._child is not None and self._child.model != self._model:
            await self._end_child("another model is wanted")
        if self._child is not None:
            return self._child
        self._reason = None
        self._loading = True
        try:
            device = self._choose_device()
            self._child = child = await _Child.start(self._model, device, self._download_root)
            with anyio.fail_after(self._load_timeout_s):
                await child.loaded()
        except TimeoutError:
            raise await self._lose_child("Whisper took too long to load.") from None
        except OSError as error:
            raise await self._lose_child(f"Whisper could not be started: {error.strerror}.") from error
        except _ChildGone:
            await child.dead()
            raise await self._lose_child(child.epitaph) from None
        finally:
            self._loading = False
        log.info("transcriber ready", pid=child.pid, device=device)
        return child

    async def _lose_child(self, reason: str) -> Unavailable:
        """The child is of no use any more. The error to tell it with."""
        self._reason = reason
        log.warning("transcriber lost", reason=reason)
        if self._child is not None:
            await self._child.end()
            self._child = None
        return Unavailable(reason)

    async def _end_child(self, why: str) -> None:
        if self._child is not None:
            log.info("transcriber ended", pid=self._child.pid, why=why)
            await self._child.end()
            self._child = None

    def _fail_all(self, error: SpeechError) -> None:
        for job in (*self._waiting, *([self._job] if self._job else [])):
            job.fail(type(error)(error.message))
        self._waiting.clear()
        self._job = None


@dataclass(slots=True, eq=False)
class _Job:
    """A sample to be heard, or, without a path, only a model to be loaded. deadline: on anyio's clock."""

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


class _ChildGone(Exception):
    """The child has ended, or is about to."""


class _Child:
    """The process, and the server's end of the socket to it. `start` makes one; `end` must follow."""

    def __init__(
        self,
        process: Process,
        model: str,
        device: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.model = model
        self.device = device
        self.pid = process.pid
        self._process = process
        self._reader = reader
        self._writer = writer
        self._last_words: str | None = None

    @classmethod
    async def start(cls, model: str, device: str, download_root: Path | None) -> _Child:
        """Begin loading, which `loaded` waits for; too short to be cancelled. Raises OSError."""
        ours, theirs = socket.socketpair()
        with anyio.CancelScope(shield=True), theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LONGEST_LINE)
            try:
                process = await _spawn(theirs.fileno(), model, device, download_root)
            except OSError:
                writer.transport.abort()
                raise
        return cls(process, model, device, reader, writer)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and self._last_words is None

    @property
    def epitaph(self) -> str:
        """Why it is no more, as a sentence."""
        if self._last_words is not None:
            return self._last_words
        code = self._process.returncode
        if code is not None and code < 0:
            return f"Whisper's process was ended by {signal.Signals(-code).name}."
        return "Whisper's process ended unexpectedly."

    async def loaded(self) -> None:
        """Return when the model is loaded. Raises _ChildGone."""
        await self._hear()

    async def transcribe(self, path: Path, duration_s: float) -> Transcript:
        """What the child hears. Raises BadAudio and _ChildGone."""
        self._writer.write(json.dumps({"transcribe": str(path)}).encode() + b"\n")
        match await self._hear():
            case {
                "transcript": {
                    "text": str(text),
                    "language": str(language),
                    "language_probability": float() | None as probability,
                    "segments": list(segments),
                }
            }:
                return heard(text, [Segment(*piece) for piece in segments], duration_s, language, probability)
            case {"refused": {"message": str(message)}}:
                raise BadAudio(message)
        raise _ChildGone

    async def _hear(self) -> dict[str, Any]:
        try:
            message = json.loads(await self._reader.readline())
        except (OSError, ValueError) as error:  # Ended in the midst of a line, or one without end.
            raise _ChildGone from error
        match message:
            case {"failed": {"message": str(reason)}}:
                self._last_words = reason
            case dict():
                return message
        raise _ChildGone

    async def dead(self) -> None:
        """Return when the process is gone, having seen to it that it goes."""
        with anyio.move_on_after(1.0):
            await self._process.wait()
        await self.end()

    async def end(self) -> None:
        """Nothing of it remains when this returns. Idempotent."""
        with anyio.CancelScope(shield=True):
            self._writer.transport.abort()
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


async def _spawn(fd: int, model: str, device: str, download_root: Path | None) -> Process:
    kind, _, gpu = device.partition(":")
    environment = {
        "CUDA_VISIBLE_DEVICES": gpu,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
        "PYTHONWARNINGS": "ignore",  # openai-whisper's name paths.
    }
    command = [
        sys.executable,
        "-m",
        "streaming_server.transcription.worker",
        f"--fd={fd}",
        f"--parent={os.getpid()}",
        f"--model={model}",
        f"--device={kind}",
    ]
    if download_root is not None:
        command.append(f"--download-root={download_root}")
    return await anyio.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None,
        pass_fds=[fd],
        env=_environment() | environment,
    )


def check_model(model: str, field: str) -> None:
    """Whether there can be such a Whisper. Blocks. Raises BadValue, which names the field."""
    is_file = False
    with suppress(OSError, ValueError):  # A text may be what no path can be.
        is_file = Path(model).is_file()
    if not (is_file or model in WHISPER_SIZES):
        raise BadValue(f"a file that is there, or one of {', '.join(WHISPER_SIZES)}.", field=field)


def _environment() -> dict[str, str]:
    """Enough to find Python, its libraries, the GPU and the weights, and none of the server's secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.lower() in _PROXIES or name.startswith(_PASSED_ON_AS)
    }


def _is_installed() -> bool:
    """Whether the child will find openai-whisper, without loading it or torch into the server."""
    try:
        importlib.metadata.version("openai-whisper")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
