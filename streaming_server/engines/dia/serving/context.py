"""State of a context that keeps its voice, pace and seed the same throughout."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import torch
from torch import Tensor

FRAMES_PER_S = 44100 / 512
"""Frames per second of audio."""

MIN_PROMPT_FRAMES = round(5 * FRAMES_PER_S)
"""A prompt made of the context's own speech grows until it is this long."""
MAX_PROMPT_FRAMES = round(10 * FRAMES_PER_S)
"""A prompt of 5 to 10 s keeps a voice best; from the README of nari-labs/dia."""

MAX_PROMPT_BYTES = 512
"""Bytes of transcript in a prompt made of the context's own speech: half the encoder's input."""

USUAL_PACE = 0.068
"""Seconds per character of English read aloud, about 150 words a minute."""

_GOLDEN = 0x9E3779B97F4A7C15
"""The golden ratio as a 64-bit fraction; spreads seeds apart."""


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """A voice to continue: a transcript, and the codes [frames, channels] in which it is spoken."""

    transcript: str
    codes: Tensor

    @property
    def frames(self) -> int:
        return self.codes.shape[0]


@dataclass(slots=True)
class ContextState:
    """State of one context.

    prompt: the voice's own, or the context's first speech. from_voice: whether it is the voice's own.
    pace: seconds per character, measured so far. spoken: segments started. base_seed: used when the client
    gives no seed.
    """

    prompt: VoicePrompt | None = None
    from_voice: bool = False
    pace: float = USUAL_PACE
    spoken: int = 0
    base_seed: int = field(default_factory=lambda: secrets.randbits(62))

    def use_prompt(self, prompt: VoicePrompt) -> None:
        """Use the voice's own prompt, whose pace is the first estimate."""
        self.prompt, self.from_voice = prompt, True
        if prompt.transcript:
            self.pace = _plausible(prompt.frames / FRAMES_PER_S / len(prompt.transcript))

    def next_seed(self, seed: int | None) -> int:
        """Return the next segment's seed; the same seed gives the same sequence in every context."""
        mixed = ((self.base_seed if seed is None else seed) + self.spoken * _GOLDEN) & (2**63 - 1)
        self.spoken += 1
        return mixed

    def add_speech(self, transcript: str, codes: Tensor, characters: int, cut: bool = False) -> None:
        """Record a generated segment; extend the prompt by it until the prompt is long enough.

        cut: whether it ended at its limit. A segment cut sooner than its text takes is ignored, since how
        far it got is unknown.
        """
        frames = codes.shape[0]
        if not frames or not characters or (cut and frames < self.pace * FRAMES_PER_S * characters):
            return
        if not cut:
            self.pace = _plausible(frames / FRAMES_PER_S / characters)
        if self.from_voice or (self.prompt is not None and self.prompt.frames >= MIN_PROMPT_FRAMES):
            return
        known = self.prompt or VoicePrompt("", codes[:0])
        room = MAX_PROMPT_BYTES - len(known.transcript.encode())
        said, kept = leading_words(transcript, frames, MAX_PROMPT_FRAMES - known.frames, room)
        if said:
            script = f"{known.transcript} {said}".strip()
            self.prompt = VoicePrompt(script, torch.cat([known.codes, codes[:kept]]))


def _plausible(pace: float) -> float:
    """Return a measured pace within bounds: the pauses in a short text say little of the next one."""
    return min(max(pace, USUAL_PACE / 2), USUAL_PACE * 2)


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
