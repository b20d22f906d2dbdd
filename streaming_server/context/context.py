"""A context: one turn of speech. Text is appended, audio comes out."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, inf

import anyio

from streaming_server.context.outputs import (
    Cancelled,
    ContextMetrics,
    Done,
    End,
    Failure,
    Flushed,
    Output,
    Speech,
    failure_of,
)
from streaming_server.context.pacing import Pacing
from streaming_server.context.part import Part
from streaming_server.context.progress import Progress
from streaming_server.context.timing import Timing
from streaming_server.errors import BadMessage, SpeechError, TooLarge, TooSlow, UnsupportedLanguage
from streaming_server.pool.pool import Pool
from streaming_server.text.code_points import check_code_points
from streaming_server.text.items import Pause
from streaming_server.text.narration import FlushPoint, Narration
from streaming_server.text.passage import Passage
from streaming_server.text.style import SpeakingStyle
from streaming_server.types import (
    FLOW_WINDOW,
    Audio,
    EngineInfo,
    Event,
    Failed,
    Finished,
    Generation,
    Utterance,
    Voice,
    Words,
)

READ_AHEAD = 112
"""Characters after the longest utterance that are enough to tell where it ends."""


def text_too_long(most: int) -> TooLarge:
    return TooLarge(f"at most {most} characters.", field="text")


class SpeechContext:
    """Take text by `append`, `flush`, `finish` and `cancel`; hand out audio by `receive`.

    The first four return at once and may be called from another task than `receive`. Sentences, words and
    speech come out in order, then exactly one of Done, Cancelled or Failure, and nothing after it. Nothing
    runs ahead of the reader by more than one utterance, nor by more than `max_lead_s` of real time.

    An utterance in a language that the engine cannot speak is skipped; if all are, the context ends with that
    error.

    If a worker dies, an utterance whose audio has not been received is spoken again by another worker.
    Otherwise the context ends with an error at once, and audio still held back by pacing is discarded.

    window: of each `Utterance`. speakers: who speaks after a tag such as `[S2]`; without one, the voice
    itself. style: how written text becomes spoken text. detect_language: let the script of each sentence tell
    its language, as far as the engine speaks that. stall_s: a listener that reports its playback and then
    stands still for so long, while audio waits for it, ends the context with an error. on_utterance: called
    with the text of each utterance sent to the engine. on_first_audio: called once, with the seconds to first
    audio.
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
        window: int = FLOW_WINDOW,
        speakers: Mapping[str, Part] | None = None,
        style: SpeakingStyle | None = None,
        detect_language: bool = False,
        stall_s: float = inf,
        on_utterance: Callable[[str], None] = lambda text: None,
        on_first_audio: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._pool = pool
        self._channel = pool.open(self._notify)
        self._engine = engine
        self._own = Part(voice, generation)
        self._speakers = speakers or {}
        self._max_characters = max_characters
        self._window = window
        self._on_utterance = on_utterance
        self._on_first_audio = on_first_audio
        style = style or SpeakingStyle(language=generation.language or "en")
        self._language = style.language
        self._narration = Narration(
            engine.chunking,
            style,
            detect_language=detect_language and "language" in engine.uses,
            mix_languages="language" in engine.uses,
            inline_prosody=engine.prosody,
        )
        self._out: deque[Output] = deque()
        self._wake_up = asyncio.Event()
        self._pacing = Pacing(engine.sample_rate, max_lead_s=max_lead_s, stall_s=stall_s)
        self._progress = Progress(self._narration)
        self._timing = Timing()
        self._flushes: deque[_Flush] = deque()
        self._finished = False
        self._spoke = False
        self._unspoken: Failure | None = None
        self._end: End | None = None
        self._closed = False
        self._holds = 0
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
    def failed(self) -> bool:
        """True if the context ended with an error, even if that has not been received yet."""
        return isinstance(self._end, Failure)

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
    def runs_low(self) -> bool:
        """True if the text that is left to speak may be too short to tell where the next utterance ends."""
        return self._narration.untaken < self._engine.chunking.max_chars + READ_AHEAD

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
        if self._out:
            self._notify()

    def check_room(self, characters: int) -> None:
        """Raise TooLarge unless the context takes so many characters more."""
        if self._narration.received + characters > self._max_characters:
            raise text_too_long(self._max_characters)

    def check_whole(self, text: str) -> None:
        """Raise TooLarge or BadValue unless the context takes all of a text."""
        self.check_room(len(text))
        check_code_points(text)

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
        """Stop now and discard what has not been received; only `Cancelled` follows. Idempotent."""
        if self.ended:
            return
        played = self._pacing.played(time.monotonic())
        text = self.text
        cut = self._progress.spoken_until(played)
        self._stop_with(
            Cancelled(
                generated_ms=self._ms(self._progress.listener_samples),
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
        self._pacing.report(round(seconds * self._engine.sample_rate), time.monotonic())
        self._notify()

    def hold(self) -> None:
        """Speak nothing until `release` was called as often as this."""
        self._holds += 1

    def release(self) -> None:
        """Take back one `hold`."""
        self._holds -= 1
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
            await self._sleep(wait_s)

    async def _sleep(self, wait_s: float) -> None:
        """Wait for a notification, for at most `wait_s`, rounded up to the millisecond.

        uvloop rounds a timer to the nearest millisecond; one that fires early would be set again and again.
        """
        self._wake_up.clear()
        if wait_s == inf:
            await self._wake_up.wait()
            return
        timer = asyncio.get_running_loop().call_later(ceil(wait_s * 1000) / 1000, self._notify)
        try:
            await self._wake_up.wait()
        finally:
            timer.cancel()

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
            try:
                return self._pacing.wait_s(time.monotonic())
            except TooSlow as error:
                self.fail(error)
                return 0.0
        if self._impatient_at is not None:
            return max(0.001, self._impatient_at - time.monotonic())
        return inf

    def _hand_out(self) -> Output:
        output = self._out.popleft()
        if isinstance(output, Speech):
            return self._hand_out_speech(output.pcm)
        if isinstance(output, Flushed):
            return Flushed(self._flushes.popleft().count)
        return output

    def _hand_out_speech(self, pcm: bytes) -> Speech:
        """Hand out as much of a piece as the lead allows; the rest stays first in the queue."""
        now, tempo = time.monotonic(), self._progress.tempo
        room = 2 * int(self._pacing.room(now) * tempo)
        if room < len(pcm):
            self._out.appendleft(Speech(pcm[room:]))
            pcm = pcm[:room]
        self._channel.mark_heard()
        if self._spoke and (seconds := self._timing.audio(now)) is not None:
            self._on_first_audio(seconds)
        self._pacing.sent(round(len(pcm) / 2 / tempo), now)
        self._progress.spoken_until(self._pacing.played(now))
        return Speech(pcm)

    def _advance(self) -> None:
        """Take in what the engine sent, and send it the next utterance when it has none.

        Do nothing while something waits to be received, so that a slow reader holds the engine back.
        """
        self._restart()
        while not self._out and not self.ended:
            if (event := self._channel.take()) is not None:
                self._take_in(event)
            elif self._channel.busy or self._holds or not self._submit_next():
                return

    def _restart(self) -> None:
        """If the worker died, drop the utterance's audio that was not handed out."""
        restarts, channel = self._progress.restarts, self._channel
        if restarts is None or not (channel.lost or channel.restarts > restarts):
            return
        self._out = deque(output for output in self._out if not isinstance(output, Speech))
        self._progress.restart(channel.restarts)

    def _submit_next(self) -> bool:
        """Submit the next utterance. Return False if there is none for now."""
        now = time.monotonic()
        impatient = self._impatient_at is not None and now >= self._impatient_at
        following = self._narration.take(first=not self._progress.begun, impatient=impatient)
        if isinstance(following, FlushPoint):
            self._out.append(Flushed())  # Counted when it is handed out: until then more may join it.
            return True
        if isinstance(following, Passage) or self._narration.waiting:
            self._timing.complete(now)
        if following is None:
            self._watch_patience(now)
            if self._finished:
                self._conclude(self._ending())
            return False
        self._impatient_at = None
        if isinstance(following, Pause):
            self._out += self._progress.silence(round(following.seconds * self._engine.sample_rate))
        else:
            self._submit(following, now)
        return True

    def _submit(self, passage: Passage, now: float) -> None:
        part = self._part(passage)
        generation, tempo = part.shared(self._engine, passage.prosody)
        self._progress.begin(passage, tempo)
        self._on_utterance(passage.text)
        deadline = now + self._pacing.lead_s(now)
        utterance = Utterance(
            self._pool.next_id(),
            self._channel.context,
            passage.text,
            part.voice,
            generation,
            deadline,
            pronounced=passage.pronounced,
            units=passage.units(),
            prosody=part.reachable(passage.spans),
            foreign=tuple(span for span in passage.foreign if self._engine.speaks(span.language)),
            continues=passage.continues,
            window=self._window,
        )
        self._channel.submit(utterance)

    def _part(self, passage: Passage) -> Part:
        """Return the voice of a passage, with the passage's language if its script determines one."""
        part = self._speakers.get(passage.speaker or "", self._own)
        if passage.language == self._language or not self._engine.speaks(passage.language):
            return part
        return replace(part, generation=replace(part.generation, language=passage.language))

    def _watch_patience(self, now: float) -> None:
        if not self._narration.waiting:
            self._impatient_at = None
        elif self._impatient_at is None or self._impatient_at <= now:
            self._impatient_at = now + self._engine.chunking.patience_s
            self._notify()

    def _take_in(self, event: Event) -> None:
        self._timing.event(time.monotonic())
        match event:
            case Words(_, marks):
                self._out += self._progress.words(marks)
            case Audio(_, pcm):
                self._spoke = True
                self._out += self._progress.audio(pcm)
            case Finished(_, busy_s):
                self._timing.worked(busy_s)
                self._out += self._progress.end()
            case Failed(_, UnsupportedLanguage.code, message, retryable):
                self._unspoken = Failure(UnsupportedLanguage.code, message, retryable)
                self._out += self._progress.end()
            case Failed(_, code, message, retryable):
                self._conclude(Failure(code, message, retryable))

    def _ending(self) -> Done | Failure:
        """Return the end of all text: an error if there was some and the engine could speak none of it."""
        if self._unspoken is not None and not self._spoke:
            return self._unspoken
        return Done(self._metrics())

    def _metrics(self) -> ContextMetrics:
        return self._timing.metrics(
            engine_ms=self._ms(self._progress.engine_samples),
            audio_ms=self._ms(self._progress.listener_samples),
            characters=self._narration.received,
        )

    def _ms(self, samples: float) -> float:
        return round(1000 * samples / self._engine.sample_rate, 2)


@dataclass(slots=True)
class _Flush:
    """Flushes with no text between them. at: the length of the text before them."""

    at: int
    count: int = 1
