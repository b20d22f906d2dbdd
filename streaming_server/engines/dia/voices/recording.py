"""The part of a voice sample that Dia continues from: its audio and transcript."""

from __future__ import annotations

import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming_server.engines.dia.text.script import normalize_script
from streaming_server.engines.dia.voices.prompt import MAX_PROMPT_FRAMES, leading_words
from streaming_server.errors import BadAudio, StorageFailure, UnknownVoiceSample
from streaming_server.types import Speaker, VoiceSample


@dataclass(frozen=True, slots=True)
class ScriptedRecording:
    """samples: mono, -1 to 1, at the codec's rate. script: their transcript, with speaker tags."""

    samples: NDArray[np.float32]
    script: str


def normalized_transcript(sample: VoiceSample, speaker: Speaker) -> str:
    """Return the transcript as Dia reads it. Words before the first tag belong to `speaker`."""
    return normalize_script(sample.transcript, speaker)


def read_recording(path: str, script: str, sample_rate: int, hop: int) -> ScriptedRecording:
    """Read at most the first 10 s of a WAV file and their transcript.

    A longer recording is cut after a word, assuming an even pace. Raises UnknownVoiceSample if the file is
    missing, StorageFailure if it cannot be read, and BadAudio if it is not a mono 16-bit WAV file at
    `sample_rate` Hz or is empty.
    """
    try:
        with wave.open(path, "rb") as file:
            form = file.getnchannels(), file.getsampwidth(), file.getframerate()
            if form != (1, 2, sample_rate):
                raise BadAudio(f"The voice sample must be mono, 16-bit and {sample_rate} Hz.")
            total = file.getnframes()
            script, frames = _cut(script, total // hop)
            count = total if frames is None else frames * hop
            pcm = file.readframes(count)
    except FileNotFoundError as error:
        raise UnknownVoiceSample("The voice sample no longer exists; upload it again.") from error
    except OSError as error:
        raise StorageFailure("The voice sample cannot be read.") from error
    except (wave.Error, EOFError) as error:
        raise BadAudio("The voice sample is not a WAV file.") from error
    if not pcm or len(pcm) != 2 * count:
        raise BadAudio("The voice sample is empty or truncated.")
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    return ScriptedRecording(samples / np.float32(32768), script)


def _cut(script: str, frames: int) -> tuple[str, int | None]:
    """Return the script and frames to keep; None for all of them."""
    if frames <= MAX_PROMPT_FRAMES:
        return script, None
    said, kept = leading_words(script, frames, MAX_PROMPT_FRAMES, len(script.encode()))
    if said:
        return said, kept
    # One endless word, or hardly any text for a recording of this length.
    return script[: max(len("[S1] "), len(script) * MAX_PROMPT_FRAMES // frames)], MAX_PROMPT_FRAMES
