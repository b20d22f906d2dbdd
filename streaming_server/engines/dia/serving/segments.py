"""Plan what a stream generates in one go: its text, prompt, sampling and limits."""

from __future__ import annotations

from streaming_server.engines.dia.serving.context import ContextState
from streaming_server.engines.dia.serving.prefill import Beginning
from streaming_server.engines.dia.serving.presets import PRESETS
from streaming_server.engines.dia.serving.slots import SamplingParams, Slots
from streaming_server.engines.dia.serving.stream import Stream
from streaming_server.engines.dia.text.script import build_script, encode_script, next_segment
from streaming_server.engines.dia.text.words import WordTimer
from streaming_server.engines.dia.voices.prompt import FRAMES_PER_S
from streaming_server.types import Generation

_SLACK = 1.25
"""Share of the expected length for which memory is reserved; one stream in a few takes longer."""

_PAUSE_S = 1.0
"""Time that speech takes beyond its text: breath, and the silence at its end."""


def expected_frames(characters: int, pace: float) -> int:
    """Return the frames to reserve memory for. pace: seconds per character."""
    return round((characters * pace * _SLACK + _PAUSE_S) * FRAMES_PER_S)


class Segments:
    """Plans each stream's segments: text, prompt, sampling, limits.

    defaults: sampling of requests that give no values of their own.
    """

    def __init__(self, slots: Slots, defaults: SamplingParams, sample_rate: int) -> None:
        self._slots = slots
        self._defaults = defaults
        self._sample_rate = sample_rate
        self._last_delay = slots.model.config.last_delay

    def plan_next(self, stream: Stream) -> bool:
        """Set up a stream's next segment; return False if nothing is left to say."""
        utterance, prompt, last = stream.utterance, stream.context.prompt, stream.segment
        transcript = prompt.transcript if prompt else ""
        room = self._slots.text - len(encode_script(transcript)) - len(" [S2]")
        start, speaker = (last.end, last.then) if last else (0, utterance.voice.primary_speaker)
        segment = next_segment(utterance.text, start, speaker, room)
        if segment is None:
            return False
        frames = prompt.frames if prompt else 0
        stream.segment, stream.ids = segment, encode_script(build_script(transcript, segment.script))
        stream.sampling = self._sampling(utterance.generation, stream.context, frames)
        stream.beginning = Beginning(stream.ids, prompt, stream.sampling)
        stream.candidates = self._slots.candidates(stream.sampling)
        stream.first = frames + 1
        stream.limit = self._slots.limit_row(stream.first, stream.sampling)
        stream.end = None
        stream.fed = stream.chunks = 0
        pace = stream.context.pace * self._sample_rate
        stream.clock = WordTimer(utterance.text, segment.start, segment.end, stream.origin, pace)
        return True

    def expected_rows(self, stream: Stream) -> int:
        """Return the rows that a planned segment will probably not exceed, its prompt's included."""
        assert stream.segment is not None
        characters = stream.segment.end - stream.segment.start
        rows = stream.first + expected_frames(characters, stream.context.pace) + self._last_delay
        return min(rows, stream.limit + self._last_delay)

    def _sampling(self, generation: Generation, context: ContextState, prompt_rows: int) -> SamplingParams:
        """Merge the request with its preset or the defaults; the prompt's rows come on top of max_tokens."""
        base = self._defaults if generation.preset is None else PRESETS[generation.preset]
        return SamplingParams(
            temperature=base.temperature if generation.temperature is None else generation.temperature,
            top_p=generation.top_p or base.top_p,
            top_k=generation.top_k or base.top_k,
            cfg_scale=generation.cfg_scale or base.cfg_scale,
            cfg_filter_top_k=generation.cfg_filter_top_k or base.cfg_filter_top_k,
            max_tokens=(generation.max_tokens or base.max_tokens) + prompt_rows,
            seed=context.next_seed(generation.seed),
        )
