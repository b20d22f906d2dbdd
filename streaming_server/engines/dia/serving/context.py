"""State of a context that keeps its voice, pace and seed the same throughout."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import torch
from torch import Tensor

from streaming_server.engines.dia.voices.prompt import (
    FRAMES_PER_S,
    MAX_PROMPT_BYTES,
    MAX_PROMPT_FRAMES,
    MIN_PROMPT_FRAMES,
    VoicePrompt,
    leading_words,
)

USUAL_PACE = 0.068
"""Seconds per character of English read aloud, about 150 words a minute."""

_GOLDEN = 0x9E3779B97F4A7C15
"""The golden ratio as a 64-bit fraction; spreads seeds apart."""


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
