"""The Dia engine: utterances in, PCM out, with continuous batching, one frame per step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.model.codec import UNKNOWN_LENGTH
from streaming_server.engines.dia.model.kv_cache import BRANCHES
from streaming_server.engines.dia.serving.context import ContextState, VoicePrompt
from streaming_server.engines.dia.serving.device import device_memory
from streaming_server.engines.dia.serving.runner import AudioChunk, Runner, TimeBudget
from streaming_server.engines.dia.serving.schedule import Schedule
from streaming_server.engines.dia.serving.slots import NO_END, SamplingParams
from streaming_server.engines.dia.serving.stream import CHUNK_RAMP, LAST_CHUNK, Stream
from streaming_server.engines.dia.text.script import (
    Segment,
    build_script,
    encode_script,
    is_speakable,
    next_segment,
)
from streaming_server.engines.dia.text.words import WordTimer
from streaming_server.engines.dia.voices.cache import VoicePromptCache
from streaming_server.engines.dia.voices.prefix_cache import PrefixCache
from streaming_server.errors import BadValue, SpeechError
from streaming_server.types import (
    Audio,
    ChunkPolicy,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Generation,
    MemoryReport,
    Utterance,
    Voice,
    Words,
)

CHUNKING = ChunkPolicy(min_chars=40, best_chars=240, max_chars=400, patience_s=0.25)
"""Dia speaks unnaturally below about 5 s and rushes beyond 20 s."""

MIN_TEXT_BYTES = 256
"""Bytes of new text that must fit beside a voice's transcript; a longer transcript is rejected."""

PREFILL_ROWS = {"cpu": 32, "cuda": 128}
"""Rows of a prompt fed at a time: one layer of them takes less than a step."""

IDLE_S = 0.01
"""Seconds that an otherwise idle step waits for a voice prompt; less than a frame."""

MIN_PREFILL_S = 0.006
"""Least time a step spends on prefill; half a frame."""

IDLE_PREFILL_S = 0.05
"""Time a step spends on prefill when no other stream waits for it."""


class DiaEngine:
    """Implements `engines.base.Engine`. Created by `load.create_engine`.

    voice_prompts: encodes voice samples; without it, voices' prompts are ignored. window: bytes of PCM an
    utterance may be ahead of its listener; beyond, it keeps its slot and pauses. max_active: utterances
    generated at once; by default the number of slots. notice: as in `EngineInfo`. model_bytes, slot_bytes:
    what the weights and the state of all slots take, if known.
    """

    def __init__(
        self,
        runner: Runner,
        defaults: SamplingParams | None = None,
        voice_prompts: VoicePromptCache | None = None,
        window: int | None = None,
        max_active: int | None = None,
        notice: str | None = None,
        model_bytes: int | None = None,
        slot_bytes: int | None = None,
    ) -> None:
        self._window = window
        self._max_active = min(max_active or runner.slots.count, runner.slots.count)
        self._runner = runner
        self._slots = runner.slots
        config = self._slots.model.config
        self._config = config
        self._codec = runner.codec.config
        self._defaults = defaults or SamplingParams()
        self._device = self._slots.model.device
        self._voice_prompts = voice_prompts
        self._prefixes = PrefixCache()
        self._contexts: dict[int, ContextState] = {}
        self._waiting: list[Stream] = []
        self._streams: dict[int, Stream] = {}
        self._newcomers: dict[int, Stream] = {}
        self._open: dict[int, Stream] = {}
        self._ending: dict[int, Stream] = {}
        self._paused: dict[int, Stream] = {}
        self._due: dict[int, Stream] = {}
        self._schedule = Schedule(config.last_delay, self._codec.sample_rate)
        self._seen = -1
        self._outbox: list[Event] = []
        self._step_s = 0.0
        self._model_bytes = model_bytes
        self._slot_bytes = slot_bytes
        self._busy_s = 0.0
        self._info = EngineInfo(
            name="dia",
            sample_rate=self._codec.sample_rate,
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
        speaking = len(self._streams) - sum(stream.decoding == 0 for stream in self._paused.values())
        # If every slot is held by a paused stream, no step can admit another.
        waiting = len(self._waiting) if speaking or len(self._streams) < self._max_active else 0
        return waiting + speaking + bool(self._outbox)

    def taken(self, utterance_id: int, size: int) -> None:
        for stream in self._streams.values():
            if stream.utterance.id == utterance_id:
                stream.taken = size
                self._refresh(stream)

    def prepare(self, voice: Voice) -> None:
        if self._voice_prompts is not None and voice.voice_sample is not None:
            self._voice_prompts.prefetch(voice.voice_sample, voice.primary_speaker)

    def submit(self, utterance: Utterance) -> None:
        voice = utterance.voice
        if not is_speakable(utterance.text):
            self._outbox.append(Finished(utterance.id, 0.0))
            return
        context = self._contexts.setdefault(utterance.context, ContextState())
        stream = Stream(utterance, context, self._schedule.steps)
        if self._voice_prompts is not None and voice.voice_sample is not None and not context.from_voice:
            stream.pending_prompt = self._voice_prompts.get(voice.voice_sample, voice.primary_speaker)
        self._waiting.append(stream)

    def cancel(self, utterance_id: int) -> None:
        self._waiting = [stream for stream in self._waiting if stream.utterance.id != utterance_id]
        self._outbox = [event for event in self._outbox if event.utterance != utterance_id]
        for stream in list(self._streams.values()):
            if stream.utterance.id == utterance_id:
                self._free_slot(stream)

    def release(self, context: int) -> None:
        self._contexts.pop(context, None)

    def step(self) -> list[Event]:
        started = time.perf_counter()
        with torch.inference_mode(), self._runner.compute_scope():
            self._collect_voice_prompts()
            self._admit()
            self._prefill_newcomers()
            selected = self._select_streams()
            if selected:
                self._decode_step(selected)
            self._runner.throttle()
            self._update_ends(wait=not selected)
            self._decode_ready_chunks()
            self._collect_audio(wait=not selected)
        self._busy_s += time.perf_counter() - started
        out, self._outbox = self._outbox, []
        return out

    def memory(self) -> MemoryReport:
        return replace(device_memory(self._device), model=self._model_bytes, slots=self._slot_bytes)

    def relieve(self) -> None:
        self._prefixes.clear()
        if self._voice_prompts is not None:
            self._voice_prompts.relieve()
        self._runner.relieve()

    def close(self) -> None:
        """Free everything. The engine cannot be used afterwards."""
        if self._voice_prompts is not None:
            self._voice_prompts.close()
        self._runner.close()
        self._waiting.clear()
        for group in (self._streams, self._newcomers, self._open, self._ending, self._paused, self._due):
            group.clear()
        self._schedule.clear()
        self._contexts.clear()
        self._prefixes.clear()
        self._outbox.clear()
        del self._runner, self._slots
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()

    # Admission

    def _collect_voice_prompts(self) -> None:
        """Use prompts that are ready; with nothing else to do, wait briefly for one."""
        wanted = [stream.pending_prompt for stream in self._waiting if stream.pending_prompt is not None]
        if not wanted:
            return
        idle = not self._outbox and self.active == len(self._waiting)
        if idle and len(wanted) == len(self._waiting):
            wait(wanted, IDLE_S, FIRST_COMPLETED)
        for stream in [s for s in self._waiting if s.pending_prompt is not None and s.pending_prompt.done()]:
            try:
                self._use_voice_prompt(stream)
            except SpeechError as error:
                self._waiting.remove(stream)
                failed = Failed(stream.utterance.id, error.code, error.message, error.retryable)
                self._outbox.append(failed)

    def _use_voice_prompt(self, stream: Stream) -> None:
        """Raises SpeechError if the prompt could not be encoded or leaves no room for text."""
        assert stream.pending_prompt is not None
        prompt = stream.pending_prompt.result()
        if len(encode_script(prompt.transcript)) + MIN_TEXT_BYTES > self._slots.text:
            raise BadValue("this voice's transcript is too long; shorten it")
        stream.context.use_prompt(prompt)
        stream.pending_prompt = None

    def _admit(self) -> None:
        """Assign free slots to waiting streams that are ready, the most urgent first."""
        ready = [stream for stream in self._waiting if stream.pending_prompt is None]
        if not ready:
            return
        free = sorted(set(range(self._max_active)) - set(self._streams))
        for stream, slot in zip(sorted(ready, key=self._underrun_at), free, strict=False):
            self._waiting.remove(stream)
            stream.slot, stream.busy_from = slot, self._busy_s
            self._streams[slot] = stream
            self._start_segment(stream)

    def _start_segment(self, stream: Stream) -> bool:
        """Set up the next segment; return False if nothing is left to say."""
        utterance, prompt, last = stream.utterance, stream.context.prompt, stream.segment
        transcript = prompt.transcript if prompt else ""
        room = self._slots.text - len(encode_script(transcript)) - len(" [S2]")
        start, speaker = (last.end, last.then) if last else (0, utterance.voice.primary_speaker)
        segment = next_segment(utterance.text, start, speaker, room)
        if segment is None:
            return False
        stream.segment, stream.ids = segment, encode_script(build_script(transcript, segment.script))
        stream.sampling = self._sampling_params(
            utterance.generation, stream.context, prompt.frames if prompt else 0
        )
        stream.candidates = self._slots.candidates(stream.sampling)
        stream.first = 1 if prompt is None else prompt.frames + 1
        latest = min(stream.sampling.max_tokens, self._slots.frames) - self._config.last_delay - 1
        stream.limit = max(latest, stream.first)
        self._schedule.set_running(stream, False)
        stream.offset, stream.end = stream.first - 1, None
        stream.fed = stream.chunks = 0
        stream.due = stream.row_completing(self._config.last_delay)
        pace = stream.context.pace * self._codec.sample_rate
        stream.clock = WordTimer(utterance.text, segment.start, segment.end, stream.origin, pace)
        stream.prefill = self._prefill(stream, prompt)
        self._ending.pop(stream.slot, None)
        self._due.pop(stream.slot, None)
        self._newcomers[stream.slot] = stream
        self._refresh(stream)
        return True

    def _sampling_params(
        self, generation: Generation, context: ContextState, prompt_rows: int
    ) -> SamplingParams:
        """Merge the request with the defaults; the prompt's rows come on top of its max_tokens."""
        base = self._defaults
        return SamplingParams(
            temperature=base.temperature if generation.temperature is None else generation.temperature,
            top_p=generation.top_p or base.top_p,
            top_k=generation.top_k or base.top_k,
            cfg_scale=generation.cfg_scale or base.cfg_scale,
            cfg_filter_top_k=generation.cfg_filter_top_k or base.cfg_filter_top_k,
            max_tokens=(generation.max_tokens or base.max_tokens) + prompt_rows,
            seed=context.next_seed(generation.seed),
        )

    def _no_codes(self) -> Tensor:
        return torch.zeros(0, self._config.decoder.channels, dtype=torch.int64, device=self._device)

    def _free_slot(self, stream: Stream) -> None:
        stream.released = True
        self._schedule.set_running(stream, False)
        for group in (self._streams, self._newcomers, self._open, self._ending, self._paused, self._due):
            if group.get(stream.slot) is stream:
                del group[stream.slot]

    # Prefill

    def _prefill(self, stream: Stream, prompt: VoicePrompt | None) -> Iterator[None]:
        """Encode the text and feed the prompt, yielding after every layer."""
        model, slots = self._slots.model, self._slots
        codes = self._no_codes() if prompt is None else prompt.codes.to(self._device, non_blocking=True)
        ids = torch.tensor(list(stream.ids), dtype=torch.int64).to(self._device, non_blocking=True)
        encoded = ids
        for layer in model.encode(ids):
            if layer is not None:
                encoded = layer
            yield
        yield from model.fill_cross_cache(encoded, slots.cache, stream.slot)
        first = slots.begin(stream.slot, codes, len(stream.ids), stream.sampling)
        known = self._prefixes.get(prompt) if prompt is not None else None
        branches = BRANCHES if known is None else 1
        chunk_rows = PREFILL_ROWS[self._device.type]
        for start in range(0, first - 1, chunk_rows):
            rows = slots.codes[stream.slot, start : min(start + chunk_rows, first - 1)]
            yield from _pauses(
                model.prefill(rows, start, len(stream.ids), slots.cache, stream.slot, False, branches)
            )
        if known is not None:
            for self_kv, keys_and_values in zip(slots.cache.self_kv, known, strict=True):
                self_kv[stream.slot, 1, :, :, : first - 1] = keys_and_values
        elif prompt is not None and stream.context.from_voice:
            prefix = [self_kv[stream.slot, 1, :, :, : first - 1].clone() for self_kv in slots.cache.self_kv]
            self._prefixes.put(prompt, prefix)

    def _prefill_newcomers(self) -> None:
        """Prefill new streams, the most urgent first; while others generate, no longer than a step takes."""
        newcomers = list(self._newcomers.values())
        if not newcomers:
            return
        others = len(newcomers) < len(self._streams)
        with self._runner.time_budget(
            max(MIN_PREFILL_S, self._step_s) if others else IDLE_PREFILL_S
        ) as time_budget:
            for stream in sorted(newcomers, key=self._underrun_at):
                if self._prefill_stream(stream, time_budget) and not others:
                    return
                if time_budget.exhausted:
                    return

    def _prefill_stream(self, stream: Stream, time_budget: TimeBudget) -> bool:
        """Prefill until done or out of time; return whether the stream can generate now."""
        assert stream.prefill is not None
        try:
            for _ in stream.prefill:
                time_budget.spend()
                if time_budget.exhausted:
                    return False
            self._runner.reset_codec(stream.slot)
        except torch.OutOfMemoryError:
            self._fail_out_of_memory(stream)
            return False
        stream.prefill = None
        stream.born = self._runner.steps
        del self._newcomers[stream.slot]
        self._open[stream.slot] = stream
        self._refresh(stream)
        return True

    def _fail_out_of_memory(self, stream: Stream) -> None:
        """Fail one utterance and free its memory; the others go on."""
        self._free_slot(stream)
        message = "out of memory on the device; retry later"
        self._outbox.append(Failed(stream.utterance.id, "engine_failure", message, retryable=True))
        self.relieve()

    # Steps

    def _underrun_at(self, stream: Stream) -> float:
        return stream.underrun_at(self._codec.sample_rate)

    def _select_streams(self) -> list[Stream]:
        """Return the streams that advance in this step: all, unless one is about to underrun and others can
        wait.
        """
        able, pressed = self._schedule.running, self._schedule.pressed()
        if not pressed:
            return able
        at_no_cost = self._runner.computed_anyway(sorted(pressed))
        chosen = [stream for stream in able if stream.slot in pressed or stream.slot in at_no_cost]
        return able if len(chosen) == len(able) else chosen

    def _refresh(self, stream: Stream) -> None:
        """Let a stream run or rest, as its state demands. Called whenever that changes."""
        if stream.released or stream.slot < 0:
            return
        paused = self._is_paused(stream)
        if paused:
            self._paused[stream.slot] = stream
        else:
            self._paused.pop(stream.slot, None)
        ready = stream.prefill is None and not stream.spoken(self._config.last_delay)
        self._schedule.set_running(stream, ready and not paused)

    def _is_paused(self, stream: Stream) -> bool:
        """Return whether it waits for its listener, unless it has nothing left to generate."""
        ahead = 2 * stream.emitted - stream.taken
        return self._window is not None and ahead >= self._window and stream.end is None

    def _decode_step(self, selected: list[Stream]) -> None:
        slots, shape = self._schedule.batch(selected)
        started = time.perf_counter()
        try:
            self._runner.step(slots, shape)
        except torch.OutOfMemoryError:
            # A failed step has advanced no stream, so the others can repeat it.
            self._fail_out_of_memory(max(selected, key=self._underrun_at))
            return
        self._step_s = time.perf_counter() - started
        self._schedule.advance(selected)
        for stream in self._schedule.arrived():
            if stream.row >= stream.due:
                self._due[stream.slot] = stream
            self._refresh(stream)

    def _update_ends(self, wait: bool) -> None:
        """Learn which streams have ended, as of some steps ago; a few steps late costs nothing."""
        if not self._open:
            return
        seen, ends = self._runner.read_ends(wait)
        if seen == self._seen:
            return
        self._seen = seen
        for slot in np.flatnonzero(ends < NO_END).tolist():
            stream = self._open.get(slot)
            if stream is not None and seen > stream.born and ends[slot] <= stream.limit:
                stream.end = int(ends[slot])
                del self._open[slot]
                self._ending[slot] = stream
                self._refresh(stream)
                if stream.runs:
                    self._schedule.expect(stream)

    # Audio

    def _decode_ready_chunks(self) -> None:
        """Decode every complete chunk, batching chunks of one size."""
        while True:
            batches: dict[int, list[tuple[Stream, AudioChunk]]] = {}
            for stream in (self._due | self._ending).values():
                frames = self._next_chunk_frames(stream)
                if frames:
                    length = UNKNOWN_LENGTH if stream.end is None else stream.end - stream.first
                    chunk = AudioChunk(stream.slot, stream.fed, stream.first + stream.fed, length, stream)
                    batches.setdefault(frames, []).append((stream, chunk))
            if not batches:
                return
            batch_size = self._runner.codec_batch
            for frames, batch in batches.items():
                for start in range(0, len(batch), batch_size):
                    self._decode_chunks(batch[start : start + batch_size], frames)

    def _decode_chunks(self, batch: list[tuple[Stream, AudioChunk]], frames: int) -> None:
        try:
            self._runner.decode([chunk for _, chunk in batch], frames)
        except torch.OutOfMemoryError:
            # Nothing of this batch was decoded; the other chunks are still complete and come again.
            self._fail_out_of_memory(max((stream for stream, _ in batch), key=self._underrun_at))
            return
        for stream, _ in batch:
            stream.fed += frames
            stream.chunks += 1
            stream.decoding += 1
            stream.due = stream.row_completing(self._config.last_delay)
            if stream.row < stream.due:
                self._due.pop(stream.slot, None)
            if stream.runs:
                self._schedule.expect(stream)

    def _next_chunk_frames(self, stream: Stream) -> int:
        """Return the frames of the next chunk; 0 if it is not complete or none are left."""
        complete = stream.complete(self._config.last_delay)
        size = stream.chunk_frames
        if complete - stream.fed >= size:
            return size
        if stream.end is None or complete < stream.end - stream.first or complete == 0:
            return 0
        missing = complete + self._runner.codec.lag_frames - stream.fed
        if missing <= 0:
            return 0
        return next((size for size in sorted(CHUNK_RAMP) if size >= missing), LAST_CHUNK)

    def _collect_audio(self, wait: bool) -> None:
        for chunk, pcm in self._runner.collect_audio(wait):
            stream = chunk.token
            assert isinstance(stream, Stream)
            if not stream.released:
                stream.decoding -= 1
                self._emit(stream, chunk, pcm)
                self._refresh(stream)
                self._schedule.buffered(stream)
        for stream in list(self._ending.values()):
            if self._is_complete(stream):
                self._end_segment(stream)

    def _emit(self, stream: Stream, chunk: AudioChunk, pcm: NDArray[np.int16]) -> None:
        """Emit the part of a chunk that is audio, after the words in it."""
        hop = self._codec.hop
        start = chunk.first * hop - self._runner.codec.lag
        known = stream.end - stream.first if stream.end is not None else self._known_frames(stream)
        stop = min(start + len(pcm), known * hop)
        pcm = pcm[max(0, -start) : max(0, stop - start)]
        if not len(pcm):
            return
        stream.emitted = stream.origin + stop
        assert stream.clock is not None
        total = stream.origin + known * hop
        marks = stream.clock.marks(stream.emitted, total, final=stream.end is not None)
        if marks:
            self._outbox.append(Words(stream.utterance.id, marks))
        self._outbox.append(Audio(stream.utterance.id, pcm.astype("<i2", copy=False).tobytes()))

    def _known_frames(self, stream: Stream) -> int:
        """Return the frames a stream has at least, if its end is unknown and may have come some steps ago."""
        return max(0, stream.row + 1 - stream.first - self._runner.delay)

    def _is_complete(self, stream: Stream) -> bool:
        assert stream.end is not None
        if not stream.spoken(self._config.last_delay) or stream.decoding:
            return False
        frames = stream.end - stream.first
        return frames == 0 or stream.fed >= frames + self._runner.codec.lag_frames

    def _end_segment(self, stream: Stream) -> None:
        assert stream.end is not None
        assert stream.segment is not None
        frames = stream.end - stream.first
        try:
            self._extend_context(stream, stream.segment, frames)
        except torch.OutOfMemoryError:
            self.relieve()
        stream.origin += frames * self._codec.hop
        if self._start_segment(stream):
            return
        self._free_slot(stream)
        self._outbox.append(Finished(stream.utterance.id, self._busy_s - stream.busy_from))

    def _extend_context(self, stream: Stream, segment: Segment, frames: int) -> None:
        """Update the context's voice and pace from what was generated."""
        codes = self._runner.frames(stream.slot, stream.first, frames)
        cut = stream.first + frames >= stream.limit
        stream.context.add_speech(segment.script, codes, segment.end - segment.start, cut)


def _pauses(layers: Iterator[Tensor | None]) -> Iterator[None]:
    for _ in layers:
        yield
