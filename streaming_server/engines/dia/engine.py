"""The Dia engine: utterances in, PCM out, many at once and a frame at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streaming_server.engines.dia.codec import ENDLESS
from streaming_server.engines.dia.device import device_memory
from streaming_server.engines.dia.model import BRANCHES
from streaming_server.engines.dia.prefix import PrefixCache
from streaming_server.engines.dia.runner import Load, Piece, Runner
from streaming_server.engines.dia.shelf import PromptShelf
from streaming_server.engines.dia.slots import Recipe
from streaming_server.engines.dia.text import Part, compose, encode, plan, repair
from streaming_server.engines.dia.turn import Turn, VoicePrompt
from streaming_server.engines.dia.words import WordClock
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

RAMP = (10, 4, 8, 16)
"""Frames per piece of sound: the first as soon as the codec can say anything, then ever larger pieces."""

TAIL = 16
"""Frames per piece once all of them are spoken."""

AHEAD_S = 2.0
"""A stream whose listener has this much in hand yields to streams about to run dry."""

URGENT_S = 0.5
"""A stream whose listener has less than this in hand is about to run dry."""

LEAST_READING = 256
"""Bytes of new text a reading may always have; where a voice's transcript leaves fewer, it goes unread."""

PREFILL_ROWS = 128
"""Rows of a prompt that are fed at a time."""

IDLE_S = 0.01
"""How long a step with nothing else to do waits for a voice's prompt; less than a frame lasts."""

LEAST_PATIENCE_S = 0.006
"""The least time a step spends on preparing newcomers; half a frame's."""


@dataclass(eq=False, slots=True)
class Speech:
    """An utterance on its way from text to sound.

    wanted: its voice's prompt, while that is being made. parts: what is left to read. slot: its place, once
    it has one. recipe, breadth: how it is sampled, and among how many candidates. prepare: its prefill, while
    that lasts. first: the row of its first frame. row: the last row spoken. limit: the row where it must end
    at the latest. end: the row of end of audio, once known. fed: frames given to the codec. due: the row that
    completes the next piece of sound. origin: samples of the parts before. emitted: samples given out, those
    included. taken: bytes of them on their way to the listener. born: steps made when it could first speak.
    busy_from: what the engine's clock showed then.
    """

    utterance: Utterance
    turn: Turn
    wanted: Future[VoicePrompt] | None = None
    parts: list[Part] = field(default_factory=list)
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


class DiaEngine:
    """Implements `engines.base.Engine`. Made by `load.create_engine`.

    shelf: where voices' prompts come from; without one every voice is spoken as if it had none. window: bytes
    of PCM an utterance may be ahead of its listener; one further ahead keeps its slot and waits.
    """

    def __init__(
        self,
        runner: Runner,
        defaults: Recipe | None = None,
        shelf: PromptShelf | None = None,
        window: int | None = None,
    ) -> None:
        self._window = window
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
            slots=self._slots.count,
            can_clone=shelf is not None,
            languages=("en",),
            chunking=CHUNKING,
            uses=frozenset(Generation.__dataclass_fields__) - {"language", "speed", "pitch"},
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
        speaking = sum(not self._held(speech) or speech.sounding > 0 for speech in self._speaking.values())
        return len(self._waiting) + speaking + bool(self._outbox)

    def taken(self, utterance_id: int, size: int) -> None:
        for speech in self._speaking.values():
            if speech.utterance.id == utterance_id:
                speech.taken = size

    def prepare(self, voice: Voice) -> None:
        if self._shelf is not None and voice.prompt is not None:
            self._shelf.expect(voice.prompt, voice.primary_speaker)

    def submit(self, utterance: Utterance) -> None:
        voice = utterance.voice
        if not repair(utterance.text, voice.primary_speaker):
            self._outbox.append(Finished(utterance.id, 0.0))
            return
        turn = self._turns.setdefault(utterance.context, Turn())
        speech = Speech(utterance, turn)
        if self._shelf is not None and voice.prompt is not None and not turn.given:
            speech.wanted = self._shelf.want(voice.prompt, voice.primary_speaker)
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
            self._learn_ends(wait=not moving)
            self._feed_codec()
            self._collect(wait=not moving)
        self._busy_s += time.perf_counter() - started
        out, self._outbox = self._outbox, []
        return out

    def memory(self) -> MemoryReport:
        return device_memory(self._device)

    def relieve(self) -> None:
        self._runner.relieve()
        self._prefixes.clear()
        if self._shelf is not None:
            self._shelf.relieve()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

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
        if len(wanted) == len(self._waiting) and not self._speaking and not self._outbox:
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
        free = sorted(set(range(self._slots.count)) - set(self._speaking))
        for speech, slot in zip(sorted(ready, key=self._dry_at), free, strict=False):
            self._waiting.remove(speech)
            speech.slot, speech.busy_from = slot, self._busy_s
            self._speaking[slot] = speech
            self._begin(speech)

    def _begin(self, speech: Speech) -> None:
        """Divide the text into what can be read at a time, and begin with the first part."""
        prompt, utterance = speech.turn.prompt, speech.utterance
        said = len(encode(prompt.transcript)) if prompt else 0
        room = max(LEAST_READING, self._slots.text - said - len(" [S2]"))
        speech.parts = plan(utterance.text, utterance.voice.primary_speaker, room)
        self._begin_part(speech)

    def _begin_part(self, speech: Speech) -> None:
        """Set up the reading of the next part, from its prompt on."""
        part = speech.part = speech.parts.pop(0)
        prompt = speech.turn.prompt
        room = self._slots.text
        speech.ids = encode(compose(prompt.transcript if prompt else "", part.script))
        if len(speech.ids) > room:
            # The turn's prompt has grown since the parts were planned; this one is read without it.
            prompt, speech.ids = None, encode(compose("", part.script))
        generation = speech.utterance.generation
        given = speech.turn.given or prompt is None
        speech.recipe = self._recipe(generation, speech.turn, 0 if given or prompt is None else prompt.frames)
        speech.breadth = self._slots.breadth(speech.recipe)
        speech.first = 1 if prompt is None else prompt.frames + 1
        latest = min(speech.recipe.max_tokens, self._slots.frames) - self._config.last_delay - 1
        speech.limit = max(latest, speech.first)
        speech.row, speech.end = speech.first - 1, None
        speech.fed = speech.pieces = 0
        speech.due = self._row_completing(speech)
        pace = speech.turn.pace * self._codec.sample_rate
        speech.clock = WordClock(speech.utterance.text, part.start, part.end, speech.origin, pace)
        speech.prepare = self._prefill(speech, prompt)

    def _recipe(self, generation: Generation, turn: Turn, own_rows: int) -> Recipe:
        """What the client asks for, else the defaults; `own_rows` come on top of its max_tokens."""
        base = self._defaults
        return Recipe(
            temperature=base.temperature if generation.temperature is None else generation.temperature,
            top_p=generation.top_p or base.top_p,
            top_k=generation.top_k or base.top_k,
            cfg_scale=generation.cfg_scale or base.cfg_scale,
            cfg_filter_top_k=generation.cfg_filter_top_k or base.cfg_filter_top_k,
            max_tokens=(generation.max_tokens or base.max_tokens) + own_rows,
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
        for start in range(0, first - 1, PREFILL_ROWS):
            rows = slots.codes[speech.slot, start : min(start + PREFILL_ROWS, first - 1)]
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
        others = len(newcomers) < len(self._speaking)
        patience = max(LEAST_PATIENCE_S, self._speaking_s) if others else float("inf")
        stop = time.perf_counter() + patience
        for speech in sorted(newcomers, key=self._dry_at):
            if self._prepare_one(speech, stop) and not others:
                return
            if time.perf_counter() >= stop:
                return

    def _prepare_one(self, speech: Speech, stop: float) -> bool:
        """Prefill until done or until `stop`; whether it can speak now."""
        assert speech.prepare is not None
        try:
            for _ in speech.prepare:
                if time.perf_counter() >= stop:
                    return False
        except torch.OutOfMemoryError:
            self._fail_for_memory(speech)
            return False
        speech.prepare = None
        speech.born = self._runner.steps
        self._runner.begin_sound(speech.slot)
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
            for speech in self._speaking.values()
            if speech.prepare is None and not speech.spoken(delay) and not self._held(speech)
        ]
        now = time.monotonic()
        if any(self._dry_at(speech) < now + URGENT_S for speech in able):
            able = [speech for speech in able if self._dry_at(speech) < now + AHEAD_S]
        return sorted(able, key=lambda speech: speech.slot)

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
            for frames, batch in batches.items():
                self._decode(batch, frames)

    def _decode(self, batch: list[tuple[Speech, Piece]], frames: int) -> None:
        try:
            self._runner.decode([piece for _, piece in batch], frames)
        except torch.OutOfMemoryError:
            self._fail_for_memory(max((speech for speech, _ in batch), key=self._dry_at))
            return
        for speech, _ in batch:
            speech.fed += frames
            speech.pieces += 1
            speech.sounding += 1
            speech.due = self._row_completing(speech)

    def _next_piece(self, speech: Speech) -> int:
        """Frames of the next piece of sound, 0 while it is not complete or when there are none left."""
        complete = speech.complete(self._config.last_delay)
        size = _piece_size(speech)
        if complete - speech.fed >= size:
            return size
        if speech.end is None or complete < speech.end - speech.first or complete == 0:
            return 0
        missing = complete + self._runner.codec.lag_frames - speech.fed
        if missing <= 0:
            return 0
        return next((size for size in sorted(RAMP) if size >= missing), TAIL)

    def _row_completing(self, speech: Speech) -> int:
        """The row at which the next piece of sound is complete, unless the audio ends before."""
        return speech.first + self._config.last_delay - 1 + speech.fed + _piece_size(speech)

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
        known = speech.row + 1 - speech.first if speech.end is None else speech.end - speech.first
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
        part = speech.part
        codes = self._runner.frames(speech.slot, speech.first, frames)
        speech.turn.heard(part.script, codes, part.end - part.start)
        speech.origin += frames * self._codec.hop
        if speech.parts:
            self._begin_part(speech)
            return
        self._leave(speech)
        self._outbox.append(Finished(speech.utterance.id, self._busy_s - speech.busy_from))


def _piece_size(speech: Speech) -> int:
    """Frames of the next piece of sound, unless it is the last."""
    return RAMP[min(speech.pieces, len(RAMP) - 1)]


def _silently(pieces: Iterator[Tensor | None]) -> Iterator[None]:
    for _ in pieces:
        yield


def drain(engine: DiaEngine, utterances: Iterable[Utterance]) -> list[Event]:
    """Speak some utterances to their end and return all that came out."""
    for utterance in utterances:
        engine.submit(utterance)
    events: list[Event] = []
    while engine.active:
        events.extend(engine.step())
    return events
