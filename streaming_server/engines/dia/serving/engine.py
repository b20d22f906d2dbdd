"""The Dia engine: utterances in, PCM out, many at once and a frame at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.model.codec import ENDLESS
from streaming_server.engines.dia.model.transformer import BRANCHES
from streaming_server.engines.dia.serving.context import Turn, VoicePrompt
from streaming_server.engines.dia.serving.device import device_memory
from streaming_server.engines.dia.serving.runner import Load, Meter, Piece, Runner
from streaming_server.engines.dia.serving.slots import Recipe
from streaming_server.engines.dia.serving.stream import RAMP, TAIL, Speech
from streaming_server.engines.dia.text.script import Part, compose, encode, has_words, next_part
from streaming_server.engines.dia.text.words import WordClock
from streaming_server.engines.dia.voices.cache import PromptShelf
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

AHEAD_S = 2.0
"""A stream whose listener has this much in hand yields to streams about to run dry."""

URGENT_S = 0.5
"""A stream whose listener has less than this in hand is about to run dry."""

LEAST_READING = 256
"""Bytes of new text a reading may always have; where a voice's transcript leaves fewer, it goes unread."""

PREFILL_ROWS = {"cpu": 32, "cuda": 128}
"""Rows of a prompt that are fed at a time: a layer of them takes less than a step."""

IDLE_S = 0.01
"""How long a step with nothing else to do waits for a voice's prompt; less than a frame lasts."""

LEAST_PATIENCE_S = 0.006
"""The least time a step spends on preparing newcomers; half a frame's."""

ALONE_S = 0.05
"""How long a step prepares newcomers when nobody else is there to wait for it."""


class DiaEngine:
    """Implements `engines.base.Engine`. Made by `load.create_engine`.

    shelf: where voices' prompts come from; without one every voice is spoken as if it had none. window: bytes
    of PCM an utterance may be ahead of its listener; one further ahead keeps its slot and waits. together:
    utterances that are spoken at once, by default as many as there are slots. notice: as in `EngineInfo`.
    """

    def __init__(
        self,
        runner: Runner,
        defaults: Recipe | None = None,
        shelf: PromptShelf | None = None,
        window: int | None = None,
        together: int | None = None,
        notice: str | None = None,
    ) -> None:
        self._window = window
        self._together = min(together or runner.slots.count, runner.slots.count)
        self._runner = runner
        self._slots = runner.slots
        config = self._slots.model.config
        self._config = config
        self._codec = runner.codec.config
        self._defaults = defaults or Recipe()
        self._device = self._slots.model.device
        self._shelf = shelf
        self._prefixes = PrefixCache()
        self._turns: dict[int, Turn] = {}
        self._waiting: list[Speech] = []
        self._speaking: dict[int, Speech] = {}
        self._outbox: list[Event] = []
        self._speaking_s = 0.0
        self._busy_s = 0.0
        self._info = EngineInfo(
            name="dia",
            sample_rate=self._codec.sample_rate,
            slots=self._together,
            can_clone=shelf is not None,
            languages=("en",),
            chunking=CHUNKING,
            uses=frozenset(Generation.__dataclass_fields__) - {"language", "speed", "pitch"},
            notice=notice,
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def device_name(self) -> str:
        """What the engine runs on, as a person calls it."""
        return torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU"

    @property
    def active(self) -> int:
        speaking = sum(self._moves(speech) for speech in self._speaking.values())
        # Where every slot is held by a listener who is behind, nothing that a step does lets anybody in.
        waiting = len(self._waiting) if speaking or len(self._speaking) < self._together else 0
        return waiting + speaking + bool(self._outbox)

    def taken(self, utterance_id: int, size: int) -> None:
        for speech in self._speaking.values():
            if speech.utterance.id == utterance_id:
                speech.taken = size

    def prepare(self, voice: Voice) -> None:
        if self._shelf is not None and voice.voice_sample is not None:
            self._shelf.expect(voice.voice_sample, voice.primary_speaker)

    def submit(self, utterance: Utterance) -> None:
        voice = utterance.voice
        if not has_words(utterance.text):
            self._outbox.append(Finished(utterance.id, 0.0))
            return
        turn = self._turns.setdefault(utterance.context, Turn())
        speech = Speech(utterance, turn)
        if self._shelf is not None and voice.voice_sample is not None and not turn.given:
            speech.wanted = self._shelf.want(voice.voice_sample, voice.primary_speaker)
        self._waiting.append(speech)

    def cancel(self, utterance_id: int) -> None:
        self._waiting = [speech for speech in self._waiting if speech.utterance.id != utterance_id]
        self._outbox = [event for event in self._outbox if event.utterance != utterance_id]
        for speech in list(self._speaking.values()):
            if speech.utterance.id == utterance_id:
                self._leave(speech)

    def release(self, context: int) -> None:
        self._turns.pop(context, None)

    def step(self) -> list[Event]:
        started = time.perf_counter()
        with torch.inference_mode(), self._runner.computing():
            self._hear_prompts()
            self._admit()
            self._prepare()
            moving = self._choose()
            if moving:
                self._speak(moving)
            self._runner.keep_pace()
            self._learn_ends(wait=not moving)
            self._feed_codec()
            self._collect(wait=not moving)
        self._busy_s += time.perf_counter() - started
        out, self._outbox = self._outbox, []
        return out

    def memory(self) -> MemoryReport:
        return device_memory(self._device)

    def relieve(self) -> None:
        self._prefixes.clear()
        if self._shelf is not None:
            self._shelf.relieve()
        self._runner.relieve()

    def close(self) -> None:
        """Give everything back. The engine is of no use afterwards."""
        if self._shelf is not None:
            self._shelf.close()
        self._runner.close()
        self._waiting.clear()
        self._speaking.clear()
        self._turns.clear()
        self._prefixes.clear()
        self._outbox.clear()
        del self._runner, self._slots
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.empty_cache()

    # Coming and going

    def _hear_prompts(self) -> None:
        """Take in the prompts that have become ready; with nothing else to do, wait a moment for one."""
        wanted = [speech.wanted for speech in self._waiting if speech.wanted is not None]
        if not wanted:
            return
        idle = not self._outbox and not any(self._moves(speech) for speech in self._speaking.values())
        if idle and len(wanted) == len(self._waiting):
            wait(wanted, IDLE_S, FIRST_COMPLETED)
        for speech in [s for s in self._waiting if s.wanted is not None and s.wanted.done()]:
            try:
                self._hear_prompt(speech)
            except SpeechError as error:
                self._waiting.remove(speech)
                failed = Failed(speech.utterance.id, error.code, error.message, error.retryable)
                self._outbox.append(failed)

    def _hear_prompt(self, speech: Speech) -> None:
        """Raises SpeechError: the prompt could not be made, or leaves no room for text."""
        assert speech.wanted is not None
        prompt = speech.wanted.result()
        if len(encode(prompt.transcript)) + LEAST_READING > self._slots.text:
            raise BadValue("the transcript of this voice is far too long for its recording")
        speech.turn.go_on_from(prompt)
        speech.wanted = None

    def _admit(self) -> None:
        """Give free slots to those who wait and are ready, the most urgent first."""
        ready = [speech for speech in self._waiting if speech.wanted is None]
        if not ready:
            return
        free = sorted(set(range(self._together)) - set(self._speaking))
        for speech, slot in zip(sorted(ready, key=self._dry_at), free, strict=False):
            self._waiting.remove(speech)
            speech.slot, speech.busy_from = slot, self._busy_s
            self._speaking[slot] = speech
            self._begin_part(speech)

    def _begin_part(self, speech: Speech) -> bool:
        """Set up the reading of what comes next, from its prompt on; False when nothing is left to say."""
        utterance, prompt, last = speech.utterance, speech.turn.prompt, speech.part
        transcript = prompt.transcript if prompt else ""
        room = self._slots.text - len(encode(transcript)) - len(" [S2]")
        start, speaker = (last.end, last.then) if last else (0, utterance.voice.primary_speaker)
        part = next_part(utterance.text, start, speaker, room)
        if part is None:
            return False
        speech.part, speech.ids = part, encode(compose(transcript, part.script))
        speech.recipe = self._recipe(utterance.generation, speech.turn, prompt.frames if prompt else 0)
        speech.breadth = self._slots.breadth(speech.recipe)
        speech.first = 1 if prompt is None else prompt.frames + 1
        latest = min(speech.recipe.max_tokens, self._slots.frames) - self._config.last_delay - 1
        speech.limit = max(latest, speech.first)
        speech.row, speech.end = speech.first - 1, None
        speech.fed = speech.pieces = 0
        speech.due = speech.row_completing(self._config.last_delay)
        pace = speech.turn.pace * self._codec.sample_rate
        speech.clock = WordClock(utterance.text, part.start, part.end, speech.origin, pace)
        speech.prepare = self._prefill(speech, prompt)
        return True

    def _recipe(self, generation: Generation, turn: Turn, prompt_rows: int) -> Recipe:
        """What the client asks for, else the defaults; the prompt's rows come on top of its max_tokens."""
        base = self._defaults
        return Recipe(
            temperature=base.temperature if generation.temperature is None else generation.temperature,
            top_p=generation.top_p or base.top_p,
            top_k=generation.top_k or base.top_k,
            cfg_scale=generation.cfg_scale or base.cfg_scale,
            cfg_filter_top_k=generation.cfg_filter_top_k or base.cfg_filter_top_k,
            max_tokens=(generation.max_tokens or base.max_tokens) + prompt_rows,
            seed=turn.next_seed(generation.seed),
        )

    def _none(self) -> Tensor:
        return torch.zeros(0, self._config.decoder.channels, dtype=torch.int64, device=self._device)

    def _leave(self, speech: Speech) -> None:
        speech.gone = True
        self._speaking.pop(speech.slot, None)

    # Newcomers

    def _prefill(self, speech: Speech, prompt: VoicePrompt | None) -> Iterator[None]:
        """Read the text and the prompt, with a pause after every layer."""
        model, slots = self._slots.model, self._slots
        codes = self._none() if prompt is None else prompt.codes.to(self._device, non_blocking=True)
        ids = torch.tensor(list(speech.ids), dtype=torch.int64).to(self._device, non_blocking=True)
        encoded = ids
        for layer in model.encode(ids):
            if layer is not None:
                encoded = layer
            yield
        yield from model.remember_text(encoded, slots.caches, speech.slot)
        first = slots.begin(speech.slot, codes, len(speech.ids), speech.recipe)
        known = self._prefixes.get(prompt) if prompt is not None else None
        branches = BRANCHES if known is None else 1
        at_once = PREFILL_ROWS[self._device.type]
        for start in range(0, first - 1, at_once):
            rows = slots.codes[speech.slot, start : min(start + at_once, first - 1)]
            yield from _silently(
                model.prefill(rows, start, len(speech.ids), slots.caches, speech.slot, False, branches)
            )
        if known is not None:
            for own, keys_and_values in zip(slots.caches.own, known, strict=True):
                own[speech.slot, 1, :, :, : first - 1] = keys_and_values
        elif prompt is not None and speech.turn.given:
            prefix = [own[speech.slot, 1, :, :, : first - 1].clone() for own in slots.caches.own]
            self._prefixes.put(prompt, prefix)

    def _prepare(self) -> None:
        """Prefill newcomers, the most urgent first; while others speak, for no longer than a step takes."""
        newcomers = [speech for speech in self._speaking.values() if speech.prepare is not None]
        if not newcomers:
            return
        others = len(newcomers) < len(self._speaking)
        with self._runner.meter(max(LEAST_PATIENCE_S, self._speaking_s) if others else ALONE_S) as meter:
            for speech in sorted(newcomers, key=self._dry_at):
                if self._prepare_one(speech, meter) and not others:
                    return
                if meter.spent:
                    return

    def _prepare_one(self, speech: Speech, meter: Meter) -> bool:
        """Prefill until done or until the time is up; whether it can speak now."""
        assert speech.prepare is not None
        try:
            for _ in speech.prepare:
                meter.count()
                if meter.spent:
                    return False
            self._runner.begin_sound(speech.slot)
        except torch.OutOfMemoryError:
            self._fail_for_memory(speech)
            return False
        speech.prepare = None
        speech.born = self._runner.steps
        return True

    def _fail_for_memory(self, speech: Speech) -> None:
        """One utterance ends for want of memory; what it held is given back and the others go on."""
        self._leave(speech)
        message = "there was not enough memory on the device for this utterance"
        self._outbox.append(Failed(speech.utterance.id, "engine_failure", message, retryable=True))
        self.relieve()

    # The step

    def _dry_at(self, speech: Speech) -> float:
        return speech.dry_at(self._codec.sample_rate)

    def _choose(self) -> list[Speech]:
        """Who speaks in this step: everyone, unless somebody is about to run dry and others can wait."""
        delay = self._config.last_delay
        able = [
            speech
            for _, speech in sorted(self._speaking.items())
            if speech.prepare is None and not speech.spoken(delay) and not self._held(speech)
        ]
        now = time.monotonic()
        if not any(self._dry_at(speech) < now + URGENT_S for speech in able):
            return able
        pressed = {speech.slot for speech in able if self._dry_at(speech) < now + AHEAD_S}
        at_no_cost = self._runner.computed_with(sorted(pressed))
        return [speech for speech in able if speech.slot in pressed or speech.slot in at_no_cost]

    def _moves(self, speech: Speech) -> bool:
        """Whether a step brings it on."""
        return speech.sounding > 0 or not self._held(speech)

    def _held(self, speech: Speech) -> bool:
        """Whether it is so far ahead of its listener that it waits, unless it has nothing more to speak."""
        ahead = 2 * speech.emitted - speech.taken
        return self._window is not None and ahead >= self._window and speech.end is None

    def _speak(self, moving: list[Speech]) -> None:
        load = Load(
            frames=max(speech.row for speech in moving) + 1,
            text=max(len(speech.ids) for speech in moving),
            breadth=max(speech.breadth for speech in moving),
            sample=any(speech.recipe.temperature > 0 for speech in moving),
        )
        started = time.perf_counter()
        try:
            self._runner.step([speech.slot for speech in moving], load)
        except torch.OutOfMemoryError:
            # A step that fails has moved nobody, so the others can repeat it.
            self._fail_for_memory(max(moving, key=self._dry_at))
            return
        self._speaking_s = time.perf_counter() - started
        for speech in moving:
            speech.row += 1

    def _learn_ends(self, wait: bool) -> None:
        """Take in which streams have ended, as of some steps ago; a few steps late costs nothing."""
        waiting = [s for s in self._speaking.values() if s.prepare is None and s.end is None]
        if not waiting:
            return
        seen, ends = self._runner.ends(wait)
        for speech in waiting:
            if seen > speech.born and ends[speech.slot] <= speech.limit:
                speech.end = ends[speech.slot]

    # Sound

    def _feed_codec(self) -> None:
        """Give the codec every piece that is complete, streams with pieces of one size together."""
        while True:
            batches: dict[int, list[tuple[Speech, Piece]]] = {}
            for speech in self._speaking.values():
                if speech.row < speech.due and speech.end is None:
                    continue
                frames = self._next_piece(speech)
                if frames:
                    length = ENDLESS if speech.end is None else speech.end - speech.first
                    piece = Piece(speech.slot, speech.fed, speech.first + speech.fed, length, speech)
                    batches.setdefault(frames, []).append((speech, piece))
            if not batches:
                return
            together = self._runner.codec_batch
            for frames, batch in batches.items():
                for start in range(0, len(batch), together):
                    self._decode(batch[start : start + together], frames)

    def _decode(self, batch: list[tuple[Speech, Piece]], frames: int) -> None:
        try:
            self._runner.decode([piece for _, piece in batch], frames)
        except torch.OutOfMemoryError:
            # Nothing of this batch was decoded; the others' pieces are complete still and come again.
            self._fail_for_memory(max((speech for speech, _ in batch), key=self._dry_at))
            return
        for speech, _ in batch:
            speech.fed += frames
            speech.pieces += 1
            speech.sounding += 1
            speech.due = speech.row_completing(self._config.last_delay)

    def _next_piece(self, speech: Speech) -> int:
        """Frames of the next piece of sound, 0 while it is not complete or when there are none left."""
        complete = speech.complete(self._config.last_delay)
        size = speech.piece_size
        if complete - speech.fed >= size:
            return size
        if speech.end is None or complete < speech.end - speech.first or complete == 0:
            return 0
        missing = complete + self._runner.codec.lag_frames - speech.fed
        if missing <= 0:
            return 0
        return next((size for size in sorted(RAMP) if size >= missing), TAIL)

    def _collect(self, wait: bool) -> None:
        for piece, pcm in self._runner.sound(wait):
            speech = piece.token
            assert isinstance(speech, Speech)
            if not speech.gone:
                speech.sounding -= 1
                self._emit(speech, piece, pcm)
        for speech in list(self._speaking.values()):
            if speech.end is not None and self._over(speech):
                self._end_part(speech)

    def _emit(self, speech: Speech, piece: Piece, pcm: NDArray[np.int16]) -> None:
        """Give out the part of a piece that is sound, after the words heard in it."""
        hop = self._codec.hop
        start = piece.first * hop - self._runner.codec.lag
        known = speech.end - speech.first if speech.end is not None else self._surely(speech)
        stop = min(start + len(pcm), known * hop)
        pcm = pcm[max(0, -start) : max(0, stop - start)]
        if not len(pcm):
            return
        speech.emitted = speech.origin + stop
        assert speech.clock is not None
        total = speech.origin + known * hop
        marks = speech.clock.marks(speech.emitted, total, final=speech.end is not None)
        if marks:
            self._outbox.append(Words(speech.utterance.id, marks))
        self._outbox.append(Audio(speech.utterance.id, pcm.astype("<i2", copy=False).tobytes()))

    def _surely(self, speech: Speech) -> int:
        """Frames it has at least, where its end is not known and may have come some steps ago."""
        return max(0, speech.row + 1 - speech.first - self._runner.delay)

    def _over(self, speech: Speech) -> bool:
        assert speech.end is not None
        if not speech.spoken(self._config.last_delay) or speech.sounding:
            return False
        frames = speech.end - speech.first
        return frames == 0 or speech.fed >= frames + self._runner.codec.lag_frames

    def _end_part(self, speech: Speech) -> None:
        assert speech.end is not None
        assert speech.part is not None
        frames = speech.end - speech.first
        try:
            self._learn(speech, speech.part, frames)
        except torch.OutOfMemoryError:
            self.relieve()
        speech.origin += frames * self._codec.hop
        if self._begin_part(speech):
            return
        self._leave(speech)
        self._outbox.append(Finished(speech.utterance.id, self._busy_s - speech.busy_from))

    def _learn(self, speech: Speech, part: Part, frames: int) -> None:
        """The turn goes on in the voice and at the pace of what was spoken."""
        codes = self._runner.frames(speech.slot, speech.first, frames)
        cut = speech.first + frames >= speech.limit
        speech.turn.heard(part.script, codes, part.end - part.start, cut)


def _silently(pieces: Iterator[Tensor | None]) -> Iterator[None]:
    for _ in pieces:
        yield
