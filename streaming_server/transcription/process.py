"""The server's handle on the transcriber, a child process with one Whisper model."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from streaming_server.errors import BadAudio
from streaming_server.ipc.child import Child, WaitForExit, inherited_environment, spawn_connected
from streaming_server.transcription.transcript import Segment, Transcript, whisper_transcript

_LONGEST_LINE = 4 * 1024 * 1024
"""Limit of one answer in bytes, far above any real one."""
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
        self._reported_failure: str | None = None

    @classmethod
    async def start(
        cls, model: str, device: str, download_root: Path | None, wait: WaitForExit
    ) -> WhisperProcess:
        """Start a process that loads a model; await `loaded` before use. Raises OSError."""
        kind, _, gpu = device.partition(":")
        arguments = [f"--model={model}", f"--device={kind}"]
        if download_root is not None:
            arguments.append(f"--download-root={download_root}")
        child, ours = spawn_connected(
            ("-m", "streaming_server.transcription.worker"),
            arguments,
            _environment() | _ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": gpu},
            priority="idle",
            wait=wait,
        )
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LONGEST_LINE)
        except BaseException:
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
        """Wait until the model is loaded. Raises ProcessLost."""
        await self._receive()

    async def transcribe(self, path: Path, duration_s: float) -> Transcript:
        """Return the transcript of a file. Raises BadAudio and ProcessLost."""
        self._writer.write(json.dumps({"transcribe": str(path)}).encode() + b"\n")
        match await self._receive():
            case {
                "transcript": {
                    "text": str(text),
                    "language": str(language),
                    "language_probability": float() | None as probability,
                    "segments": list(segments),
                }
            }:
                return whisper_transcript(
                    text, [Segment(*piece) for piece in segments], duration_s, language, probability
                )
            case {"refused": {"message": str(message)}}:
                raise BadAudio(message)
        raise ProcessLost

    async def _receive(self) -> dict[str, Any]:
        try:
            message = json.loads(await self._reader.readline())
        except (OSError, ValueError) as error:  # It ended within a line, or the line is too long.
            raise ProcessLost from error
        match message:
            case {"failed": {"message": str(reason)}}:
                self._reported_failure = reason
            case dict():
                return message
        raise ProcessLost

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
