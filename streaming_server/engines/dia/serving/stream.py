"""An utterance while it is spoken: how far it has come, and when its next piece of sound is there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from streaming_server.engines.dia.serving.context import Turn, VoicePrompt
from streaming_server.engines.dia.serving.slots import Recipe
from streaming_server.engines.dia.text.script import Part
from streaming_server.engines.dia.text.words import WordClock
from streaming_server.types import Utterance

RAMP = (10, 4, 8, 16)
"""Frames per piece of sound: the first as soon as the codec can say anything, then ever larger pieces."""

TAIL = 16
"""Frames per piece once all of them are spoken."""


@dataclass(eq=False, slots=True)
class Speech:
    """An utterance on its way from text to sound.

    wanted: its voice's prompt, while that is being made. slot: its place, once it has one. part: the stretch
    that is being read. recipe, breadth: how it is sampled, and among how many candidates. prepare: its
    prefill, while that lasts. first: the row of its first frame. row: the last row spoken. limit: the row
    where it must end at the latest. end: the row of end of audio, once known. fed: frames given to the codec.
    due: the row that completes the next piece of sound. origin: samples of the parts before. emitted: samples
    given out, those included. taken: bytes of them on their way to the listener. born: steps made when it
    could first speak. busy_from: what the engine's clock showed then.
    """

    utterance: Utterance
    turn: Turn
    wanted: Future[VoicePrompt] | None = None
    slot: int = -1
    part: Part | None = None
    recipe: Recipe = field(default_factory=Recipe)
    breadth: int = 0
    prepare: Iterator[None] | None = None
    ids: bytes = b""
    first: int = 0
    row: int = 0
    limit: int = 0
    end: int | None = None
    fed: int = 0
    due: int = 0
    pieces: int = 0
    sounding: int = 0
    origin: int = 0
    emitted: int = 0
    taken: int = 0
    born: int = 0
    busy_from: float = 0.0
    clock: WordClock | None = None
    gone: bool = False

    def dry_at(self, sample_rate: int) -> float:
        """When its listener runs dry, in CLOCK_MONOTONIC seconds."""
        return self.utterance.deadline + self.emitted / sample_rate

    def complete(self, last_delay: int) -> int:
        """Frames all of whose codes are spoken."""
        done = max(0, self.row - self.first - last_delay + 1)
        return done if self.end is None else min(done, self.end - self.first)

    def spoken(self, last_delay: int) -> bool:
        """Whether the model has nothing more to say, as far as is known."""
        last = self.limit if self.end is None else self.end
        return self.row >= last + last_delay - 1

    @property
    def piece_size(self) -> int:
        """Frames of the next piece of sound, unless it is the last."""
        return RAMP[min(self.pieces, len(RAMP) - 1)]

    def row_completing(self, last_delay: int) -> int:
        """The row at which the next piece of sound is complete, unless the audio ends before."""
        return self.first + last_delay - 1 + self.fed + self.piece_size
