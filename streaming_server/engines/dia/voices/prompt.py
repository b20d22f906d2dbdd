"""A voice to continue, and how much of it to keep."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

FRAMES_PER_S = 44100 / 512
"""Frames per second of audio."""

MIN_PROMPT_FRAMES = round(5 * FRAMES_PER_S)
"""A prompt made of the context's own speech grows until it is this long."""
MAX_PROMPT_FRAMES = round(10 * FRAMES_PER_S)
"""A prompt of 5 to 10 s keeps a voice best; from the README of nari-labs/dia."""

MAX_PROMPT_BYTES = 512
"""Bytes of transcript in a prompt made of the context's own speech: half the encoder's input."""


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """A voice to continue: a transcript, and the codes [frames, channels] in which it is spoken."""

    transcript: str
    codes: Tensor

    @property
    def frames(self) -> int:
        return self.codes.shape[0]


def leading_words(transcript: str, frames: int, room: int, most_bytes: int) -> tuple[str, int]:
    """Return the whole words spoken within the first `room` frames, at an even pace, and their frames.

    The words take at most `most_bytes`. Returns an empty string and 0 if not even the first word fits. A
    script without spaces may be cut between any two characters.
    """
    short = transcript.encode()[: max(0, most_bytes)].decode(errors="ignore")
    if frames <= room and short == transcript:
        return transcript, frames
    reach = min(int(len(transcript) * room / frames), len(short))
    spaced = " " in transcript[len("[S1] ") :]
    cut = transcript.rfind(" ", 0, reach + 1) if spaced else reach
    if cut <= len("[S1] "):
        return "", 0
    return transcript[:cut], int(frames * cut / len(transcript))
