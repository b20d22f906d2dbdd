"""The server's handle on the transcriber, a child process with one Whisper model."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from pathlib import Path

from streaming_server.errors import BadAudio, ProtocolError
from streaming_server.ipc.child import Child, inherited_environment, spawn_connected
from streaming_server.ipc.framing import FrameReader, MessageFrame
from streaming_server.transcription.messages import (
    Answer,
    Refused,
    Transcribe,
    Transcribed,
    TranscriberFailed,
    TranscriberReady,
    decode_answer,
    encode,
)
from streaming_server.transcription.transcript import Transcript, whisper_transcript

_EXIT_GRACE_S = 1.0
"""Time for a process that has closed its socket to exit by itself; its exit code tells the reason."""

_PASSED_ON = frozenset({"USER", "LOGNAME", "TZ", "TORCH_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"})
_PASSED_ON_PREFIXES = (
    *("LD_", "DYLD_", "XDG_", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "NUMBA_"),
    *("CUDA_", "NVIDIA_", "PYTORCH_", "CUBLAS_", "CUDNN_", "TRITON_", "HIP_", "ROCR_", "HSA_"),
)
"""Prefixes of the variables that configure numerical libraries, processors and GPUs."""
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

_ENVIRONMENT = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore",  # openai-whisper's warnings name paths.
}


class ProcessLost(Exception):
    """The process has exited or failed; `WhisperProcess.failure` holds the reason."""


class WhisperProcess:
    """The child process and the server's end of the socket to it. `start` one; `end` it when done.

    device: "cpu", or "cuda:N" with N the physical id of a GPU, in the order of the bus.
    """

    def __init__(
        self,
        child: Child,
        model: str,
        device: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.model = model
        self.device = device
        self.pid = child.pid
        self._child = child
        self._reader = reader
        self._writer = writer
        self._frames = FrameReader()
        self._received: deque[MessageFrame] = deque()
        self._reported_failure: str | None = None

    @classmethod
    async def start(cls, model: str, device: str) -> WhisperProcess:
        """Start a process that loads a model; await `loaded` before use. Raise OSError."""
        kind, _, gpu = device.partition(":")
        arguments = [f"--model={model}", f"--device={kind}"]
        child, ours = spawn_connected(
            ("-m", "streaming_server.transcription.worker"),
            arguments,
            _environment() | _ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": gpu},
            priority="idle",
        )
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            await child.stop()
            raise
        return cls(child, model, device, reader, writer)

    @property
    def alive(self) -> bool:
        return self._child.returncode is None and self._reported_failure is None

    @property
    def failure(self) -> str:
        """The reason why the process ended, as a sentence."""
        if self._reported_failure is not None:
            return self._reported_failure
        code = self._child.returncode
        if code is not None and code < 0:
            return f"Whisper's process was ended by {signal.Signals(-code).name}."
        return "Whisper's process ended unexpectedly."

    async def loaded(self) -> None:
        """Wait until the model is loaded. Raise ProcessLost."""
        if not isinstance(await self._receive(), TranscriberReady):
            raise self._lost_by_protocol()

    async def transcribe(self, path: Path, duration_s: float) -> Transcript:
        """Return the transcript of a file. Raise BadAudio and ProcessLost."""
        self._writer.write(encode(Transcribe(os.fsencode(path))))
        match await self._receive():
            case Transcribed(text, language, probability, segments):
                return whisper_transcript(text, segments, duration_s, language, probability)
            case Refused(message):
                raise BadAudio(message)
        raise self._lost_by_protocol()

    async def _receive(self) -> Answer:
        """Return the next answer. Raise ProcessLost."""
        try:
            while not self._received:
                if not (data := await self._reader.read(65536)):
                    raise ProcessLost
                self._received.extend(self._frames.feed(data))
            answer = decode_answer(self._received.popleft())
        except OSError as error:
            raise ProcessLost from error
        except ProtocolError as error:
            raise self._lost_by_protocol() from error
        if isinstance(answer, TranscriberFailed):
            self._reported_failure = answer.message
            raise ProcessLost
        return answer

    def _lost_by_protocol(self) -> ProcessLost:
        self._reported_failure = "Whisper's process sent a message that cannot be understood."
        return ProcessLost()

    async def end(self, *, grace: bool = False) -> None:
        """Close the socket and terminate the process. Idempotent.

        grace: let it exit by itself for a moment first, so that `failure` knows its exit code.
        """
        self._writer.transport.abort()
        await self._child.stop(_EXIT_GRACE_S if grace else 0.0)


def _environment() -> dict[str, str]:
    """Return the variables needed to find Python, libraries, the GPU and the weights; no secrets."""
    proxies = {spelling for name in _PROXIES for spelling in (name, name.upper())}
    return inherited_environment(_PASSED_ON | proxies, _PASSED_ON_PREFIXES)
