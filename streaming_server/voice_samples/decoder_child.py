"""The decoder: a child process that reads one recording and exits.

Run as `python -m streaming_server.voice_samples.decoder_child SOURCE TARGET LIMITS PARENT`. LIMITS are the
fields of `VoiceSampleLimits` as JSON, PARENT is the server's process id. The process limits its own resources
before it opens the file, writes TARGET, and answers with one line on standard output:

    {"voice_sample": fields of DecodedVoiceSample}     TARGET is complete
    {"refused": {"code", "message"}}                   for the user
    {"failed": {"message"}}                            an internal error, for the log
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streaming_server.audio.wav import wav_header
from streaming_server.errors import SpeechError, StorageFailure, Unavailable
from streaming_server.ipc.parent import end_with_parent
from streaming_server.voice_samples.voice_sample import SAMPLE_RATE, DecodedVoiceSample, VoiceSampleLimits


def main(arguments: list[str]) -> int:
    source, target, limits_json, parent = arguments
    limits = VoiceSampleLimits(**json.loads(limits_json))
    confine(limits, parent=int(parent))
    answer: dict[str, Any]
    try:
        answer = {"voice_sample": asdict(read_voice_sample(Path(source), Path(target), limits))}
    except SpeechError as error:
        answer = {"refused": {"code": error.code, "message": error.message}}
    except MemoryError:
        message = "The recording needs too much memory. Save it as a 16-bit WAV and send that."
        answer = {"refused": {"code": Unavailable.code, "message": message}}
    except Exception as error:  # Libraries may raise anything for a hostile file.
        answer = {"failed": {"message": _location(error)}}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # Skip the destructors of libraries that have parsed a hostile file.


def confine(limits: VoiceSampleLimits, parent: int) -> None:
    """Limit this process's resources, and end it with its parent."""
    end_with_parent(parent)
    longest_file = int(limits.longest_s * SAMPLE_RATE) * 2 + 64 * 1024
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, limits.cpu_s)
    _limit(resource.RLIMIT_FSIZE, longest_file)
    _limit(resource.RLIMIT_NOFILE, 64)
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, limits.memory_bytes)


def _limit(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (allowed, allowed))


def _location(error: BaseException) -> str:
    """Return an exception's type and line numbers, without its message, which may quote the upload."""
    lines, trace = [], error.__traceback__
    while trace is not None:
        lines.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' '.join(lines)}"


def read_voice_sample(source: Path, target: Path, limits: VoiceSampleLimits) -> DecodedVoiceSample:
    """Decode the recording at `source` and write it to `target`. Raise as `decode_in_child` does."""
    # Imported here, where the limits hold.
    from streaming_server.voice_samples.decoding import UploadReader, decode
    from streaming_server.voice_samples.normalizing import normalize

    try:
        file = UploadReader(io.FileIO(source))
    except OSError as error:
        raise StorageFailure(f"The file of the recording cannot be opened: {error.strerror}.") from error
    try:
        with file:
            recording = decode(file, limits)
        voice_sample, pcm = normalize(recording)
        target.write_bytes(wav_header(SAMPLE_RATE, voice_sample.frames) + pcm)
    except OSError as error:
        raise StorageFailure("The voice sample could not be stored: the disk is full or failing.") from error
    return voice_sample


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:]))
