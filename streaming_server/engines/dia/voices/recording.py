"""What a voice's prompt sounds like and says, as far as Dia needs it."""

from __future__ import annotations

import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming_server.engines.dia.serving.context import MOST_FRAMES, beginning
from streaming_server.engines.dia.text.script import repair
from streaming_server.errors import BadAudio, StorageFailure, UnknownVoiceSample
from streaming_server.types import Speaker, VoiceSample


@dataclass(frozen=True, slots=True)
class Recording:
    """samples: mono, -1 to 1, at the codec's rate. script: what is said in them, with speaker tags."""

    samples: NDArray[np.float32]
    script: str


def script_of(prompt: VoiceSample, speaker: Speaker) -> str:
    """The transcript as Dia reads it; what is said before its first tag, `speaker` says."""
    return repair(prompt.transcript, speaker)


def read_recording(path: str, script: str, sample_rate: int, hop: int) -> Recording:
    """The beginning of a WAV file that Dia goes on from, of 10 s at most, and what is said in it.

    A longer recording is cut where a word ends if it is spoken at an even pace. Raises UnknownVoiceSample
    for a file that is gone, StorageFailure for one that cannot be read, BadAudio for one that is no mono
    16-bit WAV at `sample_rate` Hz or holds nothing.
    """
    try:
        with wave.open(path, "rb") as file:
            form = file.getnchannels(), file.getsampwidth(), file.getframerate()
            if form != (1, 2, sample_rate):
                raise BadAudio(f"a voice's recording must be mono, of 16 bits and {sample_rate} Hz")
            total = file.getnframes()
            script, frames = _cut(script, total // hop)
            count = total if frames is None else frames * hop
            pcm = file.readframes(count)
    except FileNotFoundError as error:
        raise UnknownVoiceSample("the recording that this voice is cloned from is gone") from error
    except OSError as error:
        raise StorageFailure("the recording that this voice is cloned from cannot be read") from error
    except (wave.Error, EOFError) as error:
        raise BadAudio("the recording that this voice is cloned from is no WAV file") from error
    if not pcm or len(pcm) != 2 * count:
        raise BadAudio("the recording that this voice is cloned from is empty or cut off")
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    return Recording(samples / np.float32(32768), script)


def _cut(script: str, frames: int) -> tuple[str, int | None]:
    """The script and the frames kept of it; None for all of them."""
    if frames <= MOST_FRAMES:
        return script, None
    said, kept = beginning(script, frames, MOST_FRAMES, len(script.encode()))
    if said:
        return said, kept
    # One endless word, or hardly any text for so long a recording.
    return script[: max(len("[S1] "), len(script) * MOST_FRAMES // frames)], MOST_FRAMES
