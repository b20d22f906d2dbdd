"""A context: one turn of speech. Text is appended, audio comes out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf

import anyio

from streaming_server.audio.playback import PlaybackClock
from streaming_server.errors import BadMessage, SpeechError, TooLarge, TooSlow, error_of
from streaming_server.pool.pool import Pool
from streaming_server.text.items import Pause
from streaming_server.text.narration import FlushPoint, Narration
from streaming_server.text.passage import Passage, Quotation
from streaming_server.text.style import SpeakingStyle
from streaming_server.types import (
    Audio,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Generation,
    Voice,
    WordMark,
    Words,
)

SLICE_SHARE = 0.05
SHORTEST_SLICE_S = 0.1
LONGEST_SLICE_S = 0.5
"""Audio held back by the lead is handed out in slices of this share of the lead, within these bounds: each
slice costs a wake-up."""


@dataclass(frozen=True, slots=True)
class SentenceStart:
    """Precedes the sentence's audio.

    start, end: code points into the client's text. sample: where the sentence is heard, in samples at the
    engine's rate from the start of the utterance.
    """

    index: int
    text: str
    start: int
    end: int
    sample: int


@dataclass(frozen=True, slots=True)
class WordTime:
    """When a word is heard. Offsets and samples as in `SentenceStart`."""

    text: str
    start: int
    end: int
    start_sample: int
    end_sample: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class WordTimes:
    words: tuple[WordTime, ...]


@dataclass(frozen=True, slots=True)
class Speech:
    """The next of an utterance: mono 16-bit PCM at the engine's rate."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class UtteranceEnd:
    """The utterance is complete; samples count from zero again."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """All audio of the text before a flush is out. flushes: how many came with no text between them."""

    flushes: int = 1


@dataclass(frozen=True, slots=True)
class ContextMetrics:
    """Measurements of a context, in milliseconds.

    first_audio_ms: from the moment the first sentence was complete, even if it then waited for more text.
    queue_ms: the part of it before the engine returned anything. audio_ms: audio as the listener hears it.
    synthesis_ms: the engine's own time. realtime_factor: audio ÷ synthesis.
    """

    queue_ms: float
    first_audio_ms: float
    audio_ms: float
    synthesis_ms: float
    realtime_factor: float
    characters: int


@dataclass(frozen=True, slots=True)
class Done:
    metrics: ContextMetrics


@dataclass(frozen=True, slots=True)
class Cancelled:
    """text_spoken + text_remaining is the client's text, cut after the last word that was begun."""

    generated_ms: float
    played_ms: float
    text_spoken: str
    text_remaining: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The context ends with an error."""

    code: str
    message: str
    retryable: bool
    field: str | None = None

    def error(self) -> SpeechError:
        """Return the error of `errors` with this code."""
        error = error_of(self.code)(self.message)
        error.field = self.field
        return error


def failure_of(error: SpeechError) -> Failure:
    return Failure(error.code, error.message, error.retryable, error.field)


def text_too_long(most: int) -> TooLarge:
    return TooLarge(f"at most {most} characters.", field="text")


Output = SentenceStart | WordTimes | Speech | UtteranceEnd | Flushed | Done | Cancelled | Failure
End = Done | Cancelled | Failure


@dataclass(frozen=True, slots=True)
class Part:
    """A voice and how it speaks."""

    voice: Voice
    generation: Generation


class SpeechContext:
    """Take text by `append`, `flush`, `finish` and `cancel`; hand out audio by `receive`.

    The first four return at once and may be called from another task than `receive`. Sentences, words and
    speech come out in order, then exactly one of Done, Cancelled or Failure, and nothing after it. Nothing
    runs ahead of the reader by more than one utterance, nor by more than `max_lead_s` of real time.

    If a worker dies, an utterance of which nothing was received yet is spoken again elsewhere. Otherwise the
    context ends with an error at once, and audio still held back by pacing is discarded.

    speakers: who speaks after a tag such as `[S2]`; without one, the voice itself.
    speed: how many times faster than the engine's audio the listener hears it. style: how written text
    becomes spoken text. detect_language: let the script of each sentence tell its language, as far as the
    engine speaks that. stall_s: a listener that reports its playback and then stands still for so long,
    while audio waits for it, ends the context with an error. on_utterance: called with the text of each
    utterance sent to the engine. on_first_audio: called once, with the seconds to first audio.
    """

    def __init__(
        self,
        pool: Pool,
        engine: EngineInfo,
        voice: Voice,
        generation: Generation,
        *,
        max_characters: int,
        max_lead_s: float,
        speakers: Mapping[str, Part] | None = None,
        speed: float = 1.0,
        style: SpeakingStyle | None = None,
        detect_language: bool = False,
        stall_s: float = inf,
        on_utterance: Callable[[str], None] = lambda text: None,
        on_first_audio: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._channel = pool.open(self._notify)
        self._engine = engine
        self._own = Part(voice, generation)
        self._speakers = speakers or {}
        self._max_characters = max_characters
        self._max_lead_s = max_lead_s
        self._stall_s = stall_s
        self._moved_at = 0.0
        self._slice_s = min(LONGEST_SLICE_S, max(SHORTEST_SLICE_S, SLICE_SHARE * max_lead_s))
        self._on_utterance = on_utterance
        self._on_first_audio = on_first_audio
        self._heard_rate = engine.sample_rate * speed
        style = style or SpeakingStyle(language=generation.language or "en")
        self._language = style.language
        self._narration = Narration(
            engine.chunking, style, detect_language=detect_language and "language" in engine.uses
        )
        self._out: deque[Output] = deque()
        self._wake_up = anyio.Event()
        self._clock = PlaybackClock(self._heard_rate)
        self._flushes: deque[_Flush] = deque()
        self._finished = False
        self._end: End | None = None
        self._closed = False
        self._active: _ActiveUtterance | None = None
        self._sentences = 0
        self._samples = 0
        self._heard_until: deque[tuple[int, int]] = deque()
        self._spoken_until = 0
        self._timing = _Timing()
        self._impatient_at: float | None = None

    @property
    def ended(self) -> bool:
        """True once the end is decided, even if it has not been received yet."""
        return self._end is not None or self._closed

    @property
    def stopped(self) -> bool:
        """True if the context ended early, so that no more of it may be played."""
        return isinstance(self._end, Cancelled | Failure)

    @property
    def finished(self) -> bool:
        """True once the client has finished the text."""
        return self._finished

    @property
    def buffered(self) -> int:
        """Bytes of PCM that wait to be received."""
        waiting = sum(len(output.pcm) for output in self._out if isinstance(output, Speech))
        return waiting + self._channel.buffered

    @property
    def pending_flushes(self) -> int:
        """Flushes that were asked for and not yet answered with `Flushed`."""
        return sum(flush.count for flush in self._flushes)

    @property
    def text(self) -> str:
        """The client's text so far, as offsets count it: surrogate pairs in halves are joined."""
        return self._narration.text

    def append(self, text: str) -> None:
        """Append text, cut anywhere. Raise BadMessage after `finish`, TooLarge, BadValue."""
        if self._finished:
            raise BadMessage("The context is finished and takes no more text.")
        if self.ended or not text:
            return
        self.check_room(len(text))
        self._narration.append(text)
        self._advance()

    def check_room(self, characters: int) -> None:
        """Raise TooLarge unless the context takes so many characters more."""
        if self._narration.received + characters > self._max_characters:
            raise text_too_long(self._max_characters)

    def flush(self, *, announce: bool = True) -> None:
        """Speak what is buffered now. Unless told otherwise, `Flushed` follows its audio.

        Flushes with no text between them are answered by one `Flushed`. Raise BadMessage after `finish`,
        BadValue.
        """
        if self._finished:
            raise BadMessage("The context is finished; there is nothing to flush.")
        if self.ended:
            return
        again = bool(self._flushes) and self._flushes[-1].at == self._narration.received
        self._narration.flush(announce=announce and not again)
        if announce and again:
            self._flushes[-1].count += 1
        elif announce:
            self._flushes.append(_Flush(self._narration.received))
        self._advance()
        self._notify()

    def finish(self) -> None:
        """Take no more text. Idempotent. Raise BadValue."""
        if self._finished:
            return
        self._finished = True
        if not self.ended:
            self._narration.finish()
            self._advance()
            self._notify()

    def cancel(self) -> None:
        """Stop now; of what has not been received only `Cancelled` will be. Idempotent."""
        if self.ended:
            return
        played = self._clock.played(time.monotonic())
        text = self.text
        cut = self._spoken_offset(played)
        self._stop_with(
            Cancelled(
                generated_ms=self._ms(self._samples),
                played_ms=self._ms(played),
                text_spoken=text[:cut],
                text_remaining=text[cut:],
            )
        )

    def fail(self, error: SpeechError) -> None:
        """End with an error. Idempotent."""
        if not self.ended:
            self._stop_with(failure_of(error))

    def played_s(self, seconds: float) -> None:
        """Report how far playback is, in seconds from the start of the context as the listener hears it."""
        if self._clock.report(round(seconds * self._heard_rate)):
            self._moved_at = time.monotonic()
        self._notify()

    def close(self) -> None:
        """Drop everything. `receive` raises ClosedResourceError from now on. Idempotent."""
        self._closed = True
        self._channel.close()
        self._out.clear()
        self._notify()

    async def receive(self) -> Output:
        """Wait for the next output. There is none after the end. Raise ClosedResourceError once closed."""
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            self._advance()
            wait_s = self._ready_in()
            if wait_s <= 0:
                return self._hand_out()
            self._wake_up = anyio.Event()
            with anyio.move_on_after(wait_s):
                await self._wake_up.wait()

    def _notify(self) -> None:
        self._wake_up.set()

    def _stop_with(self, end: End) -> None:
        """End now and drop what has not been received."""
        self._out.clear()
        self._conclude(end)

    def _conclude(self, end: End) -> None:
        self._end = end
        self._channel.close()
        self._out.append(end)
        self._notify()

    def _ready_in(self) -> float:
        """Return the seconds until the first output may be handed out, as far as is known; 0 for now."""
        if self._out:
            if not isinstance(self._out[0], Speech):
                return 0.0
            now = time.monotonic()
            wait_s = self._clock.wait_s(max(0.0, self._max_lead_s - self._slice_s), now)
            return self._wait_for_a_report(now) if wait_s == inf else wait_s
        if self._impatient_at is not None:
            return max(0.001, self._impatient_at - time.monotonic())
        return inf

    def _wait_for_a_report(self, now: float) -> float:
        """Return the seconds the listener may still stand still. End the context when there are none."""
        left_s = self._moved_at + self._stall_s - now
        if left_s <= 0:
            self.fail(TooSlow(f"Playback has not moved for {self._stall_s:g} seconds."))
        return max(0.0, left_s)

    def _hand_out(self) -> Output:
        output = self._out.popleft()
        if isinstance(output, Speech):
            return self._hand_out_speech(output.pcm)
        return output

    def _hand_out_speech(self, pcm: bytes) -> Speech:
        """Hand out as much of a piece as the lead allows; the rest stays first in the queue."""
        now = time.monotonic()
        room_s = max(self._slice_s, self._max_lead_s - self._clock.lead_s(now))
        if room_s * self._heard_rate * 2 < len(pcm):
            room = int(room_s * self._heard_rate) * 2
            self._out.appendleft(Speech(pcm[room:]))
            pcm = pcm[:room]
        self._channel.mark_heard()
        if self._timing.first_audio_at is None:
            self._timing.first_audio_at = now
            self._on_first_audio(now - (self._timing.complete_at or now))
        self._clock.sent(len(pcm) // 2, now)
        self._moved_at = now
        self._spoken_offset(self._clock.played(now))
        return Speech(pcm)

    def _advance(self) -> None:
        """Take in what the engine sent, and send it the next utterance when it has none.

        Do nothing while something waits to be received, so that a slow reader holds the engine back.
        """
        self._restart()
        while not self._out and not self.ended:
            if (event := self._channel.take()) is not None:
                self._take_in(event)
            elif self._channel.busy or not self._submit_next():
                return

    def _restart(self) -> None:
        """If the worker died, drop the utterance's audio that was not handed out.

        What was announced stays announced: if the utterance is spoken again, only its audio comes anew.
        """
        active, channel = self._active, self._channel
        if active is None or not (channel.lost or channel.restarts > active.restarts):
            return
        self._out = deque(output for output in self._out if not isinstance(output, Speech))
        self._samples -= active.samples
        active.samples, active.restarts = 0, channel.restarts

    def _submit_next(self) -> bool:
        """Submit the next utterance. Return False if there is none for now."""
        now = time.monotonic()
        impatient = self._impatient_at is not None and now >= self._impatient_at
        following = self._narration.take(first=self._sentences == 0, impatient=impatient)
        if isinstance(following, FlushPoint):
            self._out.append(Flushed(self._flushes.popleft().count))
            return True
        if self._timing.complete_at is None and (following is not None or self._narration.waiting):
            self._timing.complete_at = now
        if following is None:
            self._watch_patience(now)
            if self._finished:
                self._conclude(Done(self._metrics()))
            return False
        self._impatient_at = None
        if isinstance(following, Pause):
            self._be_silent(following)
        else:
            self._submit(following, now)
        return True

    def _submit(self, passage: Passage, now: float) -> None:
        self._active = _ActiveUtterance(passage, deque(passage.sentences), self._samples)
        self._on_utterance(passage.text)
        part = self._part(passage)
        self._channel.submit(passage.text, part.voice, part.generation, now + self._clock.lead_s(now))

    def _part(self, passage: Passage) -> Part:
        """Return the voice of a passage, with the passage's language if its script determines one."""
        part = self._speakers.get(passage.speaker or "", self._own)
        if passage.language == self._language or not self._engine.speaks(passage.language):
            return part
        return replace(part, generation=replace(part.generation, language=passage.language))

    def _be_silent(self, pause: Pause) -> None:
        """Put out silence that lasts as long as the pause, as the listener hears it."""
        samples = round(pause.seconds * self._heard_rate)
        if samples:
            self._samples += samples
            self._out += (Speech(bytes(2 * samples)), UtteranceEnd())

    def _watch_patience(self, now: float) -> None:
        if not self._narration.waiting:
            self._impatient_at = None
        elif self._impatient_at is None or self._impatient_at <= now:
            self._impatient_at = now + self._engine.chunking.patience_s
            self._notify()

    def _take_in(self, event: Event) -> None:
        active = self._active
        assert active is not None
        if self._timing.first_event_at is None:
            self._timing.first_event_at = time.monotonic()
        match event:
            case Words(_, marks):
                self._announce_words(active, marks)
            case Audio(_, pcm):
                self._announce_sentences(active, up_to=active.source.start, sample=active.samples)
                active.samples += len(pcm) // 2
                self._samples += len(pcm) // 2
                self._out.append(Speech(pcm))
            case Finished(_, busy_s):
                self._timing.busy_s += busy_s
                self._announce_sentences(active, up_to=active.source.end, sample=active.samples)
                self._heard_until.append((self._samples, active.source.end))
                self._active = None
                self._out.append(UtteranceEnd())
            case Failed(_, code, message, retryable):
                self._conclude(Failure(code, message, retryable))

    def _announce_words(self, active: _ActiveUtterance, marks: tuple[WordMark, ...]) -> None:
        words: list[WordTime] = []
        for mark in active.source.written(marks):
            start, end = mark.start, mark.end
            if end <= active.marked:
                continue
            active.marked = end
            if active.pending and active.pending[0].start <= start:
                if words:
                    self._out.append(WordTimes(tuple(words)))
                    words = []
                self._announce_sentences(active, up_to=start, sample=mark.start_sample)
            words.append(
                WordTime(
                    self.text[start:end],
                    start,
                    end,
                    mark.start_sample,
                    mark.end_sample,
                    mark.estimated,
                )
            )
            self._heard_until.append((active.first_sample + mark.start_sample, end))
        if words:
            self._out.append(WordTimes(tuple(words)))

    def _announce_sentences(self, active: _ActiveUtterance, up_to: int, sample: int) -> None:
        """Announce the sentences that begin at or before an offset in the client's text."""
        while active.pending and active.pending[0].start <= up_to:
            sentence = active.pending.popleft()
            self._out.append(
                SentenceStart(self._sentences, sentence.text, sentence.start, sentence.end, sample)
            )
            self._sentences += 1

    def _spoken_offset(self, played: int) -> int:
        """Return how far into the client's text a listener is that has played so many samples."""
        while self._heard_until and self._heard_until[0][0] < played:
            self._spoken_until = self._heard_until.popleft()[1]
        return self._spoken_until

    def _metrics(self) -> ContextMetrics:
        timing = self._timing
        began = timing.complete_at or 0.0
        synthesis_ms = timing.busy_s * 1000
        generated_ms = 1000 * self._samples / self._engine.sample_rate
        return ContextMetrics(
            queue_ms=round(1000 * ((timing.first_event_at or began) - began), 2),
            first_audio_ms=round(1000 * ((timing.first_audio_at or began) - began), 2),
            audio_ms=self._ms(self._samples),
            synthesis_ms=round(synthesis_ms, 2),
            realtime_factor=round(generated_ms / synthesis_ms, 2) if synthesis_ms else 0.0,
            characters=self._narration.received,
        )

    def _ms(self, samples: int) -> float:
        """Return milliseconds as the listener hears them."""
        return round(1000 * samples / self._heard_rate, 2)


@dataclass(slots=True)
class _ActiveUtterance:
    """The utterance being spoken.

    pending: its sentences not yet announced. marked: the end of the last announced word, in the client's
    text. restarts: restarts of the channel that were handled.
    """

    source: Passage
    pending: deque[Quotation]
    first_sample: int
    samples: int = 0
    marked: int = 0
    restarts: int = 0


@dataclass(slots=True)
class _Flush:
    """Flushes with no text between them. at: the length of the text before them."""

    at: int
    count: int = 1


@dataclass(slots=True)
class _Timing:
    """Monotonic seconds."""

    complete_at: float | None = None
    first_event_at: float | None = None
    first_audio_at: float | None = None
    busy_s: float = 0.0
