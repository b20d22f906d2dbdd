"""Decodes voice samples into the form in which they are stored.

Nothing is decoded in the server's process. Every file goes to a child process (`decoder_child`) with bounded
memory, processor time and output, which answers within a deadline or is killed, so that a hostile file harms
at most that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import anyio
import msgspec
import structlog

from streaming_server.errors import BadAudio, Full, SpeechError, StorageFailure, Unavailable, error_of
from streaming_server.ipc.child import (
    Child,
    Priority,
    inherited_environment,
    spawn,
)
from streaming_server.voice_samples.file_names import misnamed
from streaming_server.voice_samples.voice_sample import DecodedVoiceSample, VoiceSampleLimits

log = structlog.stdlib.get_logger(__name__)

_AT_ONCE, _MOST_WAITING, _LONGEST_WAIT_S = 2, 8, 15.0
_LONGEST_ANSWER = 64 * 1024
_EXIT_GRACE_S = 1.0
"""Seconds for a decoder that has closed its output to exit by itself; its exit code tells the reason."""
_DECODE_FAILED = "The file could not be decoded within the limits. Save it as a 16-bit WAV and send that."
_BUSY = "Too many voice samples are being decoded. Try again in a few seconds."
_SLOW = "The server is too busy to decode a voice sample. Try again in a few seconds."


@dataclass(frozen=True, slots=True)
class _Refused:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _DecoderFailure:
    message: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """The decoder's answer: one of these fields is set."""

    voice_sample: DecodedVoiceSample | None = None
    refused: _Refused | None = None
    failed: _DecoderFailure | None = None


class SampleDecoder:
    """Decodes a few voice samples at a time. The number of waiting ones and their wait are limited."""

    def __init__(
        self,
        limits: VoiceSampleLimits | None = None,
        *,
        at_once: int = _AT_ONCE,
        most_waiting: int = _MOST_WAITING,
        longest_wait_s: float = _LONGEST_WAIT_S,
    ) -> None:
        self._limits = limits or VoiceSampleLimits()
        self._turns = anyio.CapacityLimiter(at_once)
        self._most_waiting = most_waiting
        self._longest_wait_s = longest_wait_s

    async def decode(self, source: Path, target: Path, *, filename: str | None = None) -> DecodedVoiceSample:
        """Wait for a turn and call `decode_in_child`. Raise Full also if too many wait, or for too long."""
        if self._turns.statistics().tasks_waiting >= self._most_waiting:
            raise Full(_BUSY)
        try:
            with anyio.fail_after(self._longest_wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise Full(_BUSY) from None
        try:
            return await decode_in_child(source, target, filename=filename, limits=self._limits)
        finally:
            self._turns.release()


async def decode_in_child(
    source: Path,
    target: Path,
    *,
    filename: str | None = None,
    limits: VoiceSampleLimits | None = None,
) -> DecodedVoiceSample:
    """Decode the recording at `source` and write it to `target` as voice samples are stored.

    filename: its name at the sender; an ending that contradicts the content gives a warning. Cancelling
    kills the child.

    Raise BadAudio for a file that cannot be read, is damaged or cut off; BadValue for one outside the
    limits, silent or clipped throughout; TooLarge for one that is too long; StorageFailure if the target
    cannot be written; Unavailable if the child cannot be started or exits without an answer; Full if it does
    not answer in time because no processor is free. `target` is then of no use.
    """
    limits = limits or VoiceSampleLimits()
    command = [sys.executable, "-m", "streaming_server.voice_samples.decoder_child"]
    command += [str(source), str(target), json.dumps(asdict(limits)), str(os.getpid())]
    try:
        answer = await _answer(command, limits.patience_s, "idle")
        if answer is None:
            answer = await _answer(command, limits.timeout_s, "low")
    except OSError as error:
        _log_failure(error.strerror or "not started")
        raise Unavailable("The voice sample cannot be decoded now: no process could be started.") from error
    if answer is None:
        _log_failure("timeout")
        raise Full(_SLOW)
    voice_sample = _parsed(answer)
    if warning := misnamed(filename, voice_sample.original_format):
        return replace(voice_sample, warnings=(*voice_sample.warnings, warning))
    return voice_sample


async def _answer(command: list[str], timeout_s: float, priority: Priority) -> bytes | None:
    """Run a decoder. Return its line, or what it wrote before it exited; None if it was not done in time."""
    decoder = spawn(
        command,
        _environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # Codecs quote what they are fed.
        priority=priority,
        own_group=True,
    )
    try:
        with anyio.move_on_after(timeout_s):
            return await _read_line(decoder)
        return None
    finally:
        await decoder.stop()


async def _read_line(decoder: Child) -> bytes:
    assert decoder.stdout is not None
    answer = b""
    with decoder.stdout as pipe:
        while not answer.endswith(b"\n") and len(answer) <= _LONGEST_ANSWER:
            await anyio.wait_readable(pipe)
            if not (more := os.read(pipe.fileno(), _LONGEST_ANSWER)):
                _log_failure(f"exit {await decoder.wait(_EXIT_GRACE_S)}")
                break
            answer += more
    return answer


def _environment() -> dict[str, str]:
    # A thread's stack and arena would count as memory, and threads would have nothing to do.
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return inherited_environment() | single | {"PYTHONWARNINGS": "ignore"}


def _parsed(answer: bytes) -> DecodedVoiceSample:
    """Check the decoder's answer, which a hostile file may have forged, and raise its refusal."""
    try:
        message = msgspec.json.decode(answer, type=_Answer)
    except msgspec.DecodeError:
        raise Unavailable(_DECODE_FAILED) from None
    if message.voice_sample is not None:
        return message.voice_sample
    if message.refused is not None:
        raise _refusal(message.refused)
    if message.failed is not None:
        _log_failure(message.failed.message)
    raise Unavailable(_DECODE_FAILED)


def _refusal(refused: _Refused) -> SpeechError:
    error = error_of(refused.code)
    known = issubclass(error, BadAudio | StorageFailure | Unavailable) or error.http_status in (413, 422)
    return error(refused.message) if known else Unavailable(_DECODE_FAILED)


def _log_failure(reason: str) -> None:
    log.warning("cannot decode a voice sample", reason=reason)
