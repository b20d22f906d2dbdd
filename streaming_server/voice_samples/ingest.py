"""Decode an uploaded voice sample into the form in which it is stored.

Nothing is decoded in the server's process. Every file goes to a child (`decoder_child`) of bounded
memory, processor time and output, which answers within a deadline or is killed: what a hostile file does to a
C library ends there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path, PurePath
from typing import Any

import anyio

from streaming_server.errors import BadAudio, Full, SpeechError, StorageFailure, Unavailable, error_of
from streaming_server.ipc.child import (
    Child,
    Priority,
    WaitForExit,
    inherited_environment,
    spawn,
    wait_for_exit,
)
from streaming_server.voice_samples.voice_sample import (
    VOICE_SAMPLE_FORMATS,
    DecodedVoiceSample,
    VoiceSampleFormat,
    VoiceSampleLimits,
)

_AT_ONCE, _MOST_WAITING, _LONGEST_WAIT_S = 2, 8, 15.0
_LONGEST_ANSWER = 64 * 1024
_EXIT_GRACE_S = 1.0
"""How long a decoder that has closed its output may take to exit by itself; its exit code says why."""
_DECODE_FAILED = "The file could not be decoded within the limits. Save it as a 16-bit WAV and send that."
_BUSY = "Too many samples are being read. Try again in a few seconds."
_SLOW = "This machine has too much else to do to read a sample now. Try again in a few seconds."

_NAMED: dict[str, tuple[VoiceSampleFormat, ...]] = {
    ".wav": ("wav", "w64"),
    ".w64": ("w64",),
    ".rf64": ("wav",),
    ".aif": ("aiff",),
    ".aiff": ("aiff",),
    ".aifc": ("aiff",),
    ".caf": ("caf",),
    ".mp3": ("mp3",),
    ".flac": ("flac", "ogg"),
    ".ogg": ("ogg", "opus"),
    ".oga": ("ogg", "opus"),
    ".opus": ("opus",),
    ".m4a": ("m4a",),
    ".mp4": ("m4a",),
    ".aac": ("aac",),
    ".webm": ("webm",),
    ".3gp": ("m4a",),
    ".mov": ("m4a",),
    ".mka": ("webm",),
    ".mkv": ("webm",),
    ".amr": ("amr",),
    ".awb": ("amr",),
    ".wma": ("wma",),
    ".asf": ("wma",),
}
"""What a file of that ending may be without anybody being surprised."""


class Ingest:
    """Takes samples in, a few at a time; the others wait their turn, though not many and not for long."""

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

    async def ingest(self, source: Path, target: Path, *, filename: str | None = None) -> DecodedVoiceSample:
        """As the function `ingest`; raises Full too, when too many wait or the turn does not come in time."""
        if self._turns.statistics().tasks_waiting >= self._most_waiting:
            raise Full(_BUSY)
        try:
            with anyio.fail_after(self._longest_wait_s):
                await self._turns.acquire()
        except TimeoutError:
            raise Full(_BUSY) from None
        try:
            return await ingest(source, target, filename=filename, limits=self._limits)
        finally:
            self._turns.release()


async def ingest(
    source: Path,
    target: Path,
    *,
    filename: str | None = None,
    limits: VoiceSampleLimits | None = None,
    wait: WaitForExit = wait_for_exit,
) -> DecodedVoiceSample:
    """Read the recording at `source` and write it to `target` as voice samples are stored.

    filename: what the sender calls it; only its ending is looked at, and never believed. Raises BadAudio for
    what is no recording that can be read here, is damaged or cut off; BadValue for one outside the limits,
    silent or clipped through; TooLarge for one that is too long; StorageFailure where the target cannot be
    written; Unavailable where the child cannot be started or does not live to answer, Full where it does but
    not in time, as no processor was free. What is at `target` then is of no use. Cancelling kills the child.
    wait: how to wait for the killed child, see `ipc.child`.
    """
    limits = limits or VoiceSampleLimits()
    command = [sys.executable, "-m", "streaming_server.voice_samples.decoder_child"]
    command += [str(source), str(target), json.dumps(asdict(limits)), str(os.getpid())]
    try:
        answer = await _answer(command, limits.patience_s, "idle", wait)
        if answer is None:
            answer = await _answer(command, limits.timeout_s, "low", wait)
    except OSError as error:
        _tell(error.strerror or "not started")
        raise Unavailable("The sample cannot be read now: no process could be started for it.") from error
    if answer is None:
        _tell("timeout")
        raise Full(_SLOW)
    sample = _understood(answer)
    if warning := _misnamed(filename, sample.original_format):
        return replace(sample, warnings=(*sample.warnings, warning))
    return sample


async def _answer(
    command: list[str], timeout_s: float, priority: Priority, wait: WaitForExit
) -> bytes | None:
    """Run a decoder. Return its line, or what it wrote before it exited; None if it was not done in time."""
    decoder = spawn(
        command,
        _environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # Codecs quote what they are fed.
        priority=priority,
        own_group=True,
        wait=wait,
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
                _tell(f"exit {await decoder.wait(_EXIT_GRACE_S)}")
                break
            answer += more
    return answer


def _environment() -> dict[str, str]:
    # A thread's stack and arena would count as memory, and there is nothing for threads to do.
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return inherited_environment() | single | {"PYTHONWARNINGS": "ignore"}


def _understood(answer: bytes) -> DecodedVoiceSample:
    """What the child says, none of it taken on trust. Raises what it refused the sample with."""
    try:
        message = json.loads(answer)
    except ValueError:
        raise Unavailable(_DECODE_FAILED) from None
    match message:
        case {"sample": dict(found)}:
            return _sample(found)
        case {"refused": {"code": str(code), "message": str(sentence)}}:
            raise _refusal(code, sentence)
        case {"failed": {"message": str(reason)}}:
            _tell(reason)
    raise Unavailable(_DECODE_FAILED)


def _sample(found: dict[str, Any]) -> DecodedVoiceSample:
    match found:
        case {
            "duration_s": float(duration_s),
            "original_format": str(original_format),
            "original_sample_rate": int(original_sample_rate),
            "channels": int(channels),
            "peak": float(peak),
            "warnings": [*warnings],
            "frames": int(frames),
            "waveform": [*waveform],
        } if (
            original_format in VOICE_SAMPLE_FORMATS
            and all(isinstance(sentence, str) for sentence in warnings)
            and all(isinstance(height, int) and 0 <= height <= 100 for height in waveform)
        ):
            return DecodedVoiceSample(
                duration_s=duration_s,
                original_format=original_format,
                original_sample_rate=original_sample_rate,
                channels=channels,
                peak=peak,
                warnings=tuple(warnings),
                frames=frames,
                waveform=tuple(waveform),
            )
    raise Unavailable(_DECODE_FAILED)


def _refusal(code: str, sentence: str) -> SpeechError:
    error = error_of(code)
    known = issubclass(error, BadAudio | StorageFailure | Unavailable) or error.http_status in (413, 422)
    return error(sentence) if known else Unavailable(_DECODE_FAILED)


def _misnamed(filename: str | None, original_format: VoiceSampleFormat) -> str | None:
    """A warning, where the name says another kind than the content. A name that says nothing is no lie."""
    ending = PurePath(filename or "").suffix.lower()
    if original_format in _NAMED.get(ending, VOICE_SAMPLE_FORMATS):
        return None
    return f"The file is named {ending} but is {original_format}; it was read as {original_format}."


def _tell(reason: str) -> None:
    import structlog

    structlog.stdlib.get_logger(__name__).warning("sample not decoded", reason=reason)
