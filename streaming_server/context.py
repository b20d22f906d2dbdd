"""A turn of speech in one voice: text is appended, sound comes out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import anyio

from streaming_server.audio.playback import PlaybackClock
from streaming_server.errors import BadMessage, TooLarge, TooSlow
from streaming_server.pool.pool import Pool
from streaming_server.text.segmenter import Piece, Segmenter, Sentence
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
"""A listener who has all the lead it may have gets the rest in pieces of this share of the lead, within
these bounds: each piece costs a wake-up."""


@dataclass(frozen=True, slots=True)
class SentenceStart:
    """Comes before the sentence's audio.

    start, end: code points into the client's text. sample: where it is heard, in samples at the engine's
    rate from the start of the utterance.
    """

    index: int
    text: str
    start: int
    end: int
    sample: int


@dataclass(frozen=True, slots=True)
class WordTime:
    """A word as heard. Offsets and samples as in `SentenceStart`."""

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
    """Mono 16-bit PCM at the engine's rate, the next of the utterance."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class UtteranceEnd:
    """Samples of what follows count from zero again."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """All audio of the text before one flush is out."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """How a context went; times in milliseconds.

    first_audio_ms counts from the moment the first sentence was complete, even if it then waited for company;
    queue_ms is what of it passed before the engine said anything. synthesis_ms is the engine's own time,
    realtime_factor audio ÷ synthesis.
    """

    queue_ms: float
    first_audio_ms: float
    audio_ms: float
    synthesis_ms: float
    realtime_factor: float
    characters: int


@dataclass(frozen=True, slots=True)
class Done:
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Cancelled:
    """text_spoken + text_remaining is the client's text; the cut is after the last word begun."""

    generated_ms: float
    played_ms: float
    text_spoken: str
    text_remaining: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The context ends with an error."""

    code: str
    message: str
    retryable: bool


Output = SentenceStart | WordTimes | Speech | UtteranceEnd | Flushed | Done | Cancelled | Broken
End = Done | Cancelled | Broken


class SpeechContext:
    """Text in by `append`, `flush`, `finish` and `cancel`; sound out by `receive`.

    The first four return at once and may be called from another task than `receive`. Out come sentences,
    words and speech in order, then exactly one of Done, Cancelled or Broken, and nothing after it. Nothing
    runs ahead of the reader by more than one utterance, nor by more than `max_lead_s` of real time.

    When a worker dies, an utterance of which nothing was received yet is spoken again unnoticed. One that was
    ends the context with an error at once: what waits for the lead is dropped, as the lead is a promise too.

    spoken is called with the text of each utterance as it goes to be spoken. heard is called once, with the
    seconds to first audio. A listener that reports how far it has played, and
    then for `stall_s` is nowhere new while sound waits for it, ends the context with an error.
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
        stall_s: float = inf,
        spoken: Callable[[str], None] = lambda text: None,
        heard: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._channel = pool.open(self._ring)
        self._engine = engine
        self._voice = voice
        self._generation = generation
        self._max_characters = max_characters
        self._max_lead_s = max_lead_s
        self._stall_s = stall_s
        self._moved_at = 0.0
        self._slice_s = min(LONGEST_SLICE_S, max(SHORTEST_SLICE_S, SLICE_SHARE * max_lead_s))
        self._spoken = spoken
        self._heard = heard
        self._segmenter = Segmenter(engine.chunking, generation.language or "en")
        self._deltas: list[str] = []
        self._out: deque[Output] = deque()
        self._bell = anyio.Event()
        self._clock = PlaybackClock(engine.sample_rate)
        self._flushes: deque[int] = deque()
        self._finished = False
        self._end: End | None = None
        self._closed = False
        self._piece: _Piece | None = None
        self._sentences = 0
        self._samples = 0
        self._heard_until: deque[tuple[int, int]] = deque()
        self._spoken_until = 0
        self._timing = _Timing()
        self._impatient_at: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the end has been decided; it may not have been received yet, or never be."""
        return self._end is not None or self._closed

    @property
    def stopped(self) -> bool:
        """Whether it was ended before all was said, so that nothing more of it may be heard."""
        return isinstance(self._end, Cancelled | Broken)

    @property
    def finished(self) -> bool:
        """Whether the client has said that no more text comes."""
        return self._finished

    @property
    def buffered(self) -> int:
        """Bytes of PCM that wait to be received."""
        waiting = sum(len(output.pcm) for output in self._out if isinstance(output, Speech))
        return waiting + self._channel.buffered

    def append(self, text: str) -> None:
        """More text, cut anywhere. Raises BadMessage after `finish`, TooLarge, BadValue."""
        if self._finished:
            raise BadMessage("This context was finished; it takes no more text.")
        if self.ended or not text:
            return
        if self._segmenter.received + len(text) > self._max_characters:
            raise TooLarge(f"A context takes at most {self._max_characters} characters.")
        self._segmenter.append(text)
        self._deltas.append(text)
        self._advance()

    def flush(self) -> None:
        """Speak what is buffered now; `Flushed` follows its audio. Raises BadMessage, BadValue."""
        if self._finished:
            raise BadMessage("This context was finished; there is nothing to flush.")
        if self.ended:
            return
        self._segmenter.flush()
        self._flushes.append(self._segmenter.received)
        self._advance()
        self._ring()

    def finish(self) -> None:
        """No more text. Idempotent. Raises BadValue."""
        if self._finished:
            return
        self._finished = True
        if not self.ended:
            self._segmenter.finish()
            self._advance()
            self._ring()

    def cancel(self) -> None:
        """Stop now: of what is not yet received only `Cancelled` will be. Idempotent."""
        if self.ended:
            return
        played = self._clock.played(time.monotonic())
        text = _whole("".join(self._deltas))
        cut = self._spoken_offset(played)
        self._stop_with(
            Cancelled(
                generated_ms=self._ms(self._samples),
                played_ms=self._ms(played),
                text_spoken=text[:cut],
                text_remaining=text[cut:],
            )
        )

    def fail(self, code: str, message: str, retryable: bool) -> None:
        """End with an error. Idempotent."""
        if not self.ended:
            self._stop_with(Broken(code, message, retryable))

    def played(self, samples: int) -> None:
        """How far playback is, in samples at the engine's rate from the start of the context."""
        if self._clock.report(samples):
            self._moved_at = time.monotonic()
        self._ring()

    def close(self) -> None:
        """Drop everything at once. Nothing can be received afterwards. Idempotent."""
        self._closed = True
        self._channel.close()
        self._out.clear()

    async def receive(self) -> Output:
        """The next output. After the end has been received there is none."""
        while True:
            self._advance()
            wait_s = self._ready_in()
            if wait_s <= 0:
                return self._hand_out()
            self._bell = anyio.Event()
            with anyio.move_on_after(wait_s):
                await self._bell.wait()

    def _ring(self) -> None:
        self._bell.set()

    def _stop_with(self, end: End) -> None:
        """End now; what has not been received is dropped."""
        self._out.clear()
        self._conclude(end)

    def _conclude(self, end: End) -> None:
        self._end = end
        self._channel.close()
        self._out.append(end)
        self._ring()

    def _ready_in(self) -> float:
        """Seconds until the first output may be handed out, as far as is known; 0 for now."""
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
        """Seconds the listener may still stand still; when there are none, the context ends."""
        left_s = self._moved_at + self._stall_s - now
        if left_s <= 0:
            self.fail(TooSlow.code, "Playback has stood still for too long.", TooSlow.retryable)
        return max(0.0, left_s)

    def _hand_out(self) -> Output:
        output = self._out.popleft()
        if isinstance(output, Speech):
            return self._hand_out_speech(output.pcm)
        return output

    def _hand_out_speech(self, pcm: bytes) -> Speech:
        """As much of a piece as the lead allows; the rest stays first in the queue."""
        now = time.monotonic()
        room_s = max(self._slice_s, self._max_lead_s - self._clock.lead_s(now))
        if room_s * self._engine.sample_rate * 2 < len(pcm):
            room = int(room_s * self._engine.sample_rate) * 2
            self._out.appendleft(Speech(pcm[room:]))
            pcm = pcm[:room]
        self._channel.mark_heard()
        if self._timing.first_audio_at is None:
            self._timing.first_audio_at = now
            self._heard(now - (self._timing.complete_at or now))
        self._clock.sent(len(pcm) // 2, now)
        self._moved_at = now
        self._spoken_offset(self._clock.played(now))
        return Speech(pcm)

    def _advance(self) -> None:
        """Take what the engine sent, and send it the next utterance when it has none.

        Does nothing while something waits to be received: so a slow reader holds the engine back.
        """
        self._begin_again()
        while not self._out and not self.ended:
            if (event := self._channel.take()) is not None:
                self._take_in(event)
            elif self._channel.busy or not self._submit_next():
                return

    def _begin_again(self) -> None:
        """Where the worker died, drop the sound of it that was not handed out.

        What has been announced stays announced; if the utterance is spoken again, its sound alone comes anew.
        """
        piece, channel = self._piece, self._channel
        if piece is None or not (channel.lost or channel.restarts > piece.restarts):
            return
        self._out = deque(output for output in self._out if not isinstance(output, Speech))
        self._samples -= piece.samples
        piece.samples, piece.restarts, piece.known = 0, channel.restarts, piece.marked

    def _submit_next(self) -> bool:
        """Send the next utterance off, or conclude that there is none for now."""
        now = time.monotonic()
        impatient = self._impatient_at is not None and now >= self._impatient_at
        piece = self._segmenter.take(first=self._sentences == 0, impatient=impatient)
        self._settle_flushes(piece)
        if self._timing.complete_at is None and (piece is not None or self._segmenter.waiting):
            self._timing.complete_at = now
        if piece is None:
            self._watch_patience(now)
            if self._finished:
                self._conclude(Done(self._metrics()))
            return False
        self._impatient_at = None
        self._piece = _Piece(piece, deque(piece.sentences), self._samples)
        self._spoken(piece.text)
        self._channel.submit(piece.text, self._voice, self._generation, now + self._clock.lead_s(now))
        return True

    def _watch_patience(self, now: float) -> None:
        if not self._segmenter.waiting:
            self._impatient_at = None
        elif self._impatient_at is None or self._impatient_at <= now:
            self._impatient_at = now + self._engine.chunking.patience_s
            self._ring()

    def _settle_flushes(self, next_piece: Piece | None) -> None:
        """All before the next piece has been spoken: report the flushes that lie there.

        A flush leaves nothing incomplete behind, so without a next piece every one of them is due.
        """
        while self._flushes and (next_piece is None or self._flushes[0] <= next_piece.start):
            self._flushes.popleft()
            self._out.append(Flushed())

    def _take_in(self, event: Event) -> None:
        piece = self._piece
        assert piece is not None
        if self._timing.first_event_at is None:
            self._timing.first_event_at = time.monotonic()
        match event:
            case Words(_, marks):
                self._announce_words(piece, marks)
            case Audio(_, pcm):
                self._announce_sentences(piece, up_to=piece.source.start, sample=piece.samples)
                piece.samples += len(pcm) // 2
                self._samples += len(pcm) // 2
                self._out.append(Speech(pcm))
            case Finished(_, busy_s):
                self._timing.busy_s += busy_s
                self._announce_sentences(piece, up_to=piece.source.end, sample=piece.samples)
                self._heard_until.append((self._samples, piece.source.end))
                self._piece = None
                self._out.append(UtteranceEnd())
            case Failed(_, code, message, retryable):
                self._conclude(Broken(code, message, retryable))

    def _announce_words(self, piece: _Piece, marks: tuple[WordMark, ...]) -> None:
        words: list[WordTime] = []
        for mark in marks:
            if mark.start < piece.known:
                continue
            piece.marked = mark.end
            start, end = piece.source.start + mark.start, piece.source.start + mark.end
            if piece.pending and piece.pending[0].spoken_start <= start:
                if words:
                    self._out.append(WordTimes(tuple(words)))
                    words = []
                self._announce_sentences(piece, up_to=start, sample=mark.start_sample)
            words.append(
                WordTime(
                    piece.source.text[mark.start : mark.end],
                    start,
                    end,
                    mark.start_sample,
                    mark.end_sample,
                    mark.estimated,
                )
            )
            self._heard_until.append((piece.first_sample + mark.start_sample, end))
        if words:
            self._out.append(WordTimes(tuple(words)))

    def _announce_sentences(self, piece: _Piece, up_to: int, sample: int) -> None:
        """Announce the sentences that begin at or before a place in the client's text."""
        while piece.pending and piece.pending[0].spoken_start <= up_to:
            sentence = piece.pending.popleft()
            self._out.append(
                SentenceStart(
                    self._sentences, sentence.spoken, sentence.spoken_start, sentence.spoken_end, sample
                )
            )
            self._sentences += 1

    def _spoken_offset(self, played: int) -> int:
        """How far into the client's text a listener at that sample has come."""
        while self._heard_until and self._heard_until[0][0] < played:
            self._spoken_until = self._heard_until.popleft()[1]
        return self._spoken_until

    def _metrics(self) -> Metrics:
        timing = self._timing
        began = timing.complete_at or 0.0
        audio_ms = self._ms(self._samples)
        synthesis_ms = timing.busy_s * 1000
        return Metrics(
            queue_ms=round(1000 * ((timing.first_event_at or began) - began), 2),
            first_audio_ms=round(1000 * ((timing.first_audio_at or began) - began), 2),
            audio_ms=audio_ms,
            synthesis_ms=round(synthesis_ms, 2),
            realtime_factor=round(audio_ms / synthesis_ms, 2) if synthesis_ms else 0.0,
            characters=self._segmenter.received,
        )

    def _ms(self, samples: int) -> float:
        return round(1000 * samples / self._engine.sample_rate, 2)


@dataclass(slots=True)
class _Piece:
    """The utterance on its way.

    pending: its sentences not yet announced. marked: the end of its last word announced; known: of the last
    before it began again. restarts: those of the channel that were taken note of.
    """

    source: Piece
    pending: deque[Sentence]
    first_sample: int
    samples: int = 0
    marked: int = 0
    known: int = 0
    restarts: int = 0


@dataclass(slots=True)
class _Timing:
    """Monotonic seconds."""

    complete_at: float | None = None
    first_event_at: float | None = None
    first_audio_at: float | None = None
    busy_s: float = 0.0


def _whole(text: str) -> str:
    """The text with surrogate pairs that arrived in halves joined."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
