"""What an engine keeps of a turn of speech, so that its voice, pace and dice stay the same throughout."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import torch
from torch import Tensor

FRAMES_PER_S = 44100 / 512

ENOUGH_FRAMES = round(5 * FRAMES_PER_S)
MOST_FRAMES = round(10 * FRAMES_PER_S)
"""A prompt of 5 to 10 s holds a voice best; from the README of nari-labs/dia."""

MOST_SCRIPT = 512
"""Bytes of a turn's own prompt: half of what Dia reads at a time."""

_USUAL_PACE = 0.068
"""Seconds per character of English read aloud, about 150 words a minute."""

_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """A voice to go on in: what it says, and the codes [frames, channels] in which it says so."""

    transcript: str
    codes: Tensor

    @property
    def frames(self) -> int:
        return self.codes.shape[0]


@dataclass(slots=True)
class Turn:
    """One context.

    prompt: the voice's own, or what the turn's first words became. given: whether it is the voice's own.
    pace: seconds per character, as heard so far.
    """

    prompt: VoicePrompt | None = None
    given: bool = False
    pace: float = _USUAL_PACE
    spoken: int = 0
    dice: int = field(default_factory=lambda: secrets.randbits(62))

    def go_on_from(self, prompt: VoicePrompt) -> None:
        """The voice's own prompt, whose pace is the first guess at the turn's."""
        self.prompt, self.given = prompt, True
        if prompt.transcript:
            pace = prompt.frames / FRAMES_PER_S / len(prompt.transcript)
            self.pace = min(max(pace, _USUAL_PACE / 2), _USUAL_PACE * 2)

    def next_seed(self, seed: int | None) -> int:
        """A seed of its own for the next reading; the same turn of the same seed has the same seeds."""
        mixed = ((self.dice if seed is None else seed) + self.spoken * _GOLDEN) & (2**63 - 1)
        self.spoken += 1
        return mixed

    def heard(self, transcript: str, codes: Tensor, characters: int, cut: bool = False) -> None:
        """A reading has been spoken. Until the prompt is long enough it is made longer by it.

        cut: it ended at its limit. One that was cut sooner than its text takes teaches nothing: nobody knows
        how far it came.
        """
        frames = codes.shape[0]
        if not frames or not characters or (cut and frames < self.pace * FRAMES_PER_S * characters):
            return
        if not cut:
            self.pace = frames / FRAMES_PER_S / characters
        if self.given or (self.prompt is not None and self.prompt.frames >= ENOUGH_FRAMES):
            return
        known = self.prompt or VoicePrompt("", codes[:0])
        room = MOST_SCRIPT - len(known.transcript.encode())
        said, kept = beginning(transcript, frames, MOST_FRAMES - known.frames, room)
        if said:
            script = f"{known.transcript} {said}".strip()
            self.prompt = VoicePrompt(script, torch.cat([known.codes, codes[:kept]]))


def beginning(transcript: str, frames: int, room: int, most_bytes: int) -> tuple[str, int]:
    """As many whole words as are spoken within `room` frames, at an even pace, and their frames.

    They take at most `most_bytes`. Nothing and 0 where not even the first word fits; a script without spaces
    may be cut between any two characters.
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
