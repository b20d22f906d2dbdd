"""An utterance while it is being generated."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from streaming_server.engines.dia.serving.context import ContextState
from streaming_server.engines.dia.serving.prefill import Beginning
from streaming_server.engines.dia.serving.slots import SamplingParams
from streaming_server.engines.dia.text.script import ScriptSegment
from streaming_server.engines.dia.text.words import WordTimer
from streaming_server.engines.dia.voices.prompt import VoicePrompt
from streaming_server.types import Utterance

CHUNK_RAMP = (10, 4, 4, 4, 8, 8, 8, 16)
"""Frames per audio chunk: the first as small as the codec's look-ahead permits, then growing.

The first yields 8 ms of audio. While many streams begin at once a step may take almost as long as a frame
lasts; each chunk must then be ready before its listener has heard those before.
"""

CHUNK_SIZES = tuple(sorted(set(CHUNK_RAMP)))
"""Sizes, in frames, that the codec must decode."""

LAST_CHUNK = 16
"""Frames per chunk once all frames are generated."""


@dataclass(slots=True)
class Steps:
    """Steps made so far."""

    count: int = 0


@dataclass(eq=False, slots=True)
class Stream:
    """An utterance on its way from text to audio.

    pending_prompt: its voice's prompt while that is being encoded. slot: its slot, -1 while it waits for
    one. segment: the stretch being generated. sampling, candidates: its sampling parameters, and how many
    candidates they rank. beginning: the inputs of its prefill. prefill: its prefill while that runs. ids: the
    encoder's input. first: row of the first frame. offset: the last row generated, less the steps made while
    it runs. runs: whether every step advances it. limit: row where it must end. end: row of end of audio,
    once known. fed: frames given to the codec. due: row that completes the next chunk. chunks: given to the
    codec. decoding: chunks not collected yet. origin: samples of earlier segments. emitted: samples
    emitted, those included. taken: bytes on their way to the listener. born: steps made when its prefill
    ended. busy_from: the engine's clock when it got its slot. clock: its word times. released: whether it
    has lost its slot.
    """

    utterance: Utterance
    context: ContextState
    steps: Steps = field(default_factory=Steps)
    pending_prompt: Future[VoicePrompt] | None = None
    slot: int = -1
    segment: ScriptSegment | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    candidates: int = 0
    beginning: Beginning | None = None
    prefill: Iterator[None] | None = None
    ids: bytes = b""
    first: int = 0
    offset: int = 0
    runs: bool = False
    limit: int = 0
    end: int | None = None
    fed: int = 0
    due: int = 0
    chunks: int = 0
    decoding: int = 0
    origin: int = 0
    emitted: int = 0
    taken: int = 0
    born: int = 0
    busy_from: float = 0.0
    clock: WordTimer | None = None
    released: bool = False

    @property
    def row(self) -> int:
        """The last row generated."""
        return self.offset + self.steps.count if self.runs else self.offset

    def run(self) -> None:
        """Advance with every step from now on."""
        self.offset -= self.steps.count
        self.runs = True

    def rest(self) -> None:
        """Stay at this row."""
        self.offset = self.row
        self.runs = False

    def underrun_at(self, sample_rate: int) -> float:
        """Return when its listener runs out of audio, in CLOCK_MONOTONIC seconds."""
        return self.utterance.deadline + self.emitted / sample_rate

    def complete(self, last_delay: int) -> int:
        """Return the number of frames whose codes are all generated."""
        done = max(0, self.row - self.first - last_delay + 1)
        return done if self.end is None else min(done, self.end - self.first)

    def last_row(self, last_delay: int) -> int:
        """Return the row with which the model has nothing more to generate, as far as is known."""
        return (self.limit if self.end is None else self.end) + last_delay - 1

    def spoken(self, last_delay: int) -> bool:
        return self.row >= self.last_row(last_delay)

    @property
    def chunk_frames(self) -> int:
        """Frames of the next chunk, unless it is the last."""
        return CHUNK_RAMP[min(self.chunks, len(CHUNK_RAMP) - 1)]

    def row_completing(self, last_delay: int) -> int:
        """Return the row that completes the next chunk, unless the audio ends before."""
        return self.first + last_delay - 1 + self.fed + self.chunk_frames
