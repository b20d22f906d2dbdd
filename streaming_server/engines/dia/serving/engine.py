"""The Dia engine: utterances in, PCM out, with continuous batching, one frame per step."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from streaming_server.engines.base import Engine
from streaming_server.engines.dia.serving.admission import Admission
from streaming_server.engines.dia.serving.audio_out import AudioOut
from streaming_server.engines.dia.serving.context import ContextState
from streaming_server.engines.dia.serving.device import device_memory
from streaming_server.engines.dia.serving.prefill_queue import PrefillQueue
from streaming_server.engines.dia.serving.runner import Runner
from streaming_server.engines.dia.serving.schedule import Schedule
from streaming_server.engines.dia.serving.segments import Segments
from streaming_server.engines.dia.serving.slots import NO_END, SamplingParams
from streaming_server.engines.dia.serving.stream import Stream
from streaming_server.engines.dia.serving.streams import Streams
from streaming_server.engines.dia.text.script import ScriptSegment, is_speakable
from streaming_server.engines.dia.voices.cache import VoicePromptCache
from streaming_server.types import (
    ChunkPolicy,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Generation,
    MemoryReport,
    Utterance,
    Voice,
)

CHUNKING = ChunkPolicy(min_chars=40, best_chars=240, max_chars=400, patience_s=0.25)
"""Dia speaks unnaturally below about 5 s and rushes beyond 20 s."""


class DiaEngine(Engine):
    """Generates one frame of every utterance per step. Created by `load.create_engine`.

    voice_prompts: encodes voice samples; without it, voices' prompts are ignored. paced: as for
    `Streams`. max_active: utterances generated at once; by default the number of slots. notice: as in
    `EngineInfo`. model_bytes: what the weights take, if known.
    """

    def __init__(
        self,
        runner: Runner,
        defaults: SamplingParams | None = None,
        voice_prompts: VoicePromptCache | None = None,
        paced: bool = False,
        max_active: int | None = None,
        notice: str | None = None,
        model_bytes: int | None = None,
    ) -> None:
        codec, model = runner.codec.config, runner.slots.model
        self._max_active = min(max_active or runner.slots.count, runner.slots.count)
        self.runner = runner
        self._device = model.device
        self._hop = codec.hop
        self._last_delay = model.config.last_delay
        self.voice_prompts = voice_prompts
        self.contexts: dict[int, ContextState] = {}
        self.schedule = Schedule(self._last_delay, codec.sample_rate, runner.shaped)
        self.streams = Streams(runner, self.schedule, self._last_delay, paced)
        segments = Segments(runner.slots, defaults or SamplingParams(), codec.sample_rate)
        self._admission = Admission(runner, self.streams, self.schedule, segments, self._max_active)
        self._prefill = PrefillQueue(runner, self.streams, self.schedule, self._fail_out_of_memory)
        self._audio = AudioOut(runner, self.streams, self.schedule, self._fail_out_of_memory)
        self._seen = -1
        self._outbox: list[Event] = []
        self._step_s = 0.0
        self._busy_s = 0.0
        self._model_bytes = model_bytes
        self._info = EngineInfo(
            name="dia",
            sample_rate=codec.sample_rate,
            slots=self._max_active,
            can_clone=voice_prompts is not None,
            languages=("en",),
            chunking=CHUNKING,
            uses=frozenset(Generation.__dataclass_fields__) - {"language", "speed", "pitch"},
            notice=notice,
            dialogue=True,
            cost="high",
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def device_name(self) -> str:
        """The device's product name."""
        return torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU"

    @property
    def active(self) -> int:
        speaking = len(self.streams) - len(self.streams.idle)
        # If every slot is held by a paused stream, no step can admit another.
        waiting = len(self._admission.waiting) if speaking or len(self.streams) < self._max_active else 0
        return waiting + speaking + bool(self._outbox)

    def taken(self, utterance_id: int, size: int) -> None:
        stream = self.streams.by_utterance.get(utterance_id)
        if stream is not None:
            stream.taken = size
            self.streams.refresh(stream)

    def prepare(self, voice: Voice) -> None:
        if self.voice_prompts is not None and voice.voice_sample is not None:
            self.voice_prompts.prefetch(voice.voice_sample, voice.primary_speaker)

    def submit(self, utterance: Utterance) -> None:
        voice = utterance.voice
        if not is_speakable(utterance.text):
            self._outbox.append(Finished(utterance.id, 0.0))
            return
        context = self.contexts.setdefault(utterance.context, ContextState())
        stream = Stream(utterance, context, self.schedule.steps)
        if self.voice_prompts is not None and voice.voice_sample is not None and not context.from_voice:
            stream.pending_prompt = self.voice_prompts.get(voice.voice_sample, voice.primary_speaker)
        self._admission.add(stream)

    def cancel(self, utterance_id: int) -> None:
        self._admission.cancel(utterance_id)
        self._outbox = [event for event in self._outbox if event.utterance != utterance_id]
        stream = self.streams.by_utterance.get(utterance_id)
        if stream is not None:
            self.streams.remove(stream)

    def release(self, context: int) -> None:
        self.contexts.pop(context, None)

    def step(self) -> list[Event]:
        started = time.perf_counter()
        with torch.inference_mode(), self.runner.compute_scope():
            self._outbox += self._admission.collect_voice_prompts()
            self._admission.admit(self._busy_s)
            self._prefill.run(self._step_s)
            selected = self._select_streams()
            nothing_to_do = not selected
            if selected:
                self._decode_step(selected)
            self.runner.throttle()
            self._update_ends(wait=nothing_to_do)
            self._audio.decode_ready(wait=nothing_to_do)
            self._outbox += self._audio.collect(wait=nothing_to_do)
            for stream in self._audio.complete():
                self._end_segment(stream)
        self._busy_s += time.perf_counter() - started
        out, self._outbox = self._outbox, []
        if nothing_to_do and not out and not self.streams.newcomers:
            self._admission.wait_briefly()
        return out

    def memory(self) -> MemoryReport:
        slots = self.runner.stream_bytes
        return replace(device_memory(self._device), model=self._model_bytes, slots=slots)

    def relieve(self) -> None:
        if self.voice_prompts is not None:
            self.voice_prompts.relieve()
        self.runner.relieve()

    def close(self) -> None:
        """Free everything. The engine cannot be used afterwards."""
        if self.voice_prompts is not None:
            self.voice_prompts.close()
        self.runner.close()
        self.streams.clear()
        self.contexts.clear()
        self._outbox.clear()
        del self.runner, self._admission, self._prefill, self._audio, self.streams
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()

    def _fail_out_of_memory(self, stream: Stream) -> None:
        """Fail one utterance and free its memory; the others go on."""
        self.streams.remove(stream)
        message = "Out of memory on the device; try again later."
        self._outbox.append(Failed(stream.utterance.id, "engine_failure", message, retryable=True))
        self.relieve()

    # Steps

    def _select_streams(self) -> list[Stream]:
        """Return the streams that advance in this step: all, unless one is about to underrun and others can
        wait.
        """
        able, prioritized = self.schedule.running, self.schedule.prioritized()
        if not prioritized:
            return able
        at_no_cost = self.runner.computed_anyway(sorted(prioritized))
        chosen = [stream for stream in able if stream.slot in prioritized or stream.slot in at_no_cost]
        return able if len(chosen) == len(able) else chosen

    def _decode_step(self, selected: list[Stream]) -> None:
        slots, shape = self.schedule.batch(selected)
        started = time.perf_counter()
        try:
            self.runner.step(slots, shape)
        except torch.OutOfMemoryError:
            # A failed step has advanced no stream, so the others can repeat it.
            self._fail_out_of_memory(max(selected, key=self.schedule.underrun_at))
            return
        self._step_s = time.perf_counter() - started
        self.schedule.advance(selected)
        for stream in self.schedule.arrived():
            if stream.row >= stream.due:
                self.streams.due[stream.slot] = stream
            if stream.spoken(self._last_delay):
                self.streams.refresh(stream)

    def _update_ends(self, wait: bool) -> None:
        """Learn which streams have ended, as of some steps ago; a few steps late costs nothing."""
        streams = self.streams
        if not streams.open:
            return
        seen, ends = self.runner.read_ends(wait)
        if seen == self._seen:
            return
        self._seen = seen
        for slot in (ends < NO_END).nonzero()[0].tolist():
            stream = streams.open.get(slot)
            if stream is not None and seen > stream.born and ends[slot] <= stream.limit:
                stream.end = int(ends[slot])
                del streams.open[slot]
                streams.patient.pop(slot, None)
                streams.ending[slot] = stream
                streams.refresh(stream)
                if stream.runs:
                    self.schedule.expect(stream)

    def _end_segment(self, stream: Stream) -> None:
        assert stream.end is not None
        assert stream.segment is not None
        frames = stream.end - stream.first
        try:
            self._extend_context(stream, stream.segment, frames)
        except torch.OutOfMemoryError:
            self.relieve()
        stream.origin += frames * self._hop
        if self._admission.begin_next(stream):
            return
        self.streams.remove(stream)
        self._outbox.append(Finished(stream.utterance.id, self._busy_s - stream.busy_from))

    def _extend_context(self, stream: Stream, segment: ScriptSegment, frames: int) -> None:
        """Update the context's voice and pace from what was generated."""
        codes = self.runner.frames(stream.slot, stream.first, frames)
        cut = stream.first + frames >= stream.limit
        stream.context.add_speech(segment.script, codes, segment.end - segment.start, cut)
