"""Renders a `SpeechContext` to bytes, for every protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

import anyio
import structlog

from streaming_server.audio.encoder import SpeechEncoder
from streaming_server.audio.frames import Frame
from streaming_server.context import (
    Cancelled,
    Done,
    End,
    Failure,
    Flushed,
    SentenceStart,
    Speech,
    SpeechContext,
    UtteranceEnd,
    WordTime,
    WordTimes,
    failure_of,
)
from streaming_server.errors import BadValue
from streaming_server.metrics import Metrics

CHARACTERS_AT_ONCE = 256
"""A long text is appended in pieces of this length: reading more at once would hold up the event loop.
Adversarial text takes up to eight microseconds a character, two milliseconds a piece."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Frames:
    """The next frames of the audio; never empty."""

    frames: list[Frame]

    @property
    def data(self) -> bytes:
        return b"".join(frame.data for frame in self.frames)

    @property
    def samples(self) -> int:
        return sum(frame.samples for frame in self.frames)


@dataclass(frozen=True, slots=True)
class SentenceMark:
    """Precedes the sentence's audio.

    start, end: code points into the client's text. first_sample: at the output rate, from the start of the
    context.
    """

    index: int
    text: str
    start: int
    end: int
    first_sample: int


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word and when it is heard.

    start, end: code points into the client's text. written: the word with the punctuation around it, as the
    client wrote it; spaced: whether white space, or nothing yet, follows that. first_sample, end_sample: at
    the output rate, from the start of the context. estimated: whether the times were not measured.
    """

    text: str
    start: int
    end: int
    written: str
    spaced: bool
    first_sample: int
    end_sample: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class TimedWords:
    """Precedes the words' audio. Times never go back."""

    words: tuple[TimedWord, ...]


Rendered = Frames | SentenceMark | TimedWords | Flushed | End


class Rendering:
    """Renders one context for one listener.

    Append text to `context` and iterate over `outputs` inside `async with`, which ends the context and frees
    its resources. Sentences, words and audio come in order, paced by the context's lead, then exactly one of
    Done, Cancelled or Failure. The end is logged and counted here, for every door.

    voice: the voice that speaks, by the id or alias that the client knows. labels: added to the log line of
    the end. release: called by every `close`; must be idempotent.
    """

    def __init__(
        self,
        context: SpeechContext,
        encoder: SpeechEncoder,
        metrics: Metrics,
        *,
        voice: str,
        release: Callable[[End | None], None],
        labels: Mapping[str, str | None],
    ) -> None:
        self.context = context
        self.voice = voice
        self.sample_rate = encoder.sample_rate
        self.end: End | None = None
        self.utterances = 0
        self._encoder = encoder
        self._metrics = metrics
        self._release = release
        self._labels = labels
        self._written_to = 0
        self._whole = False
        self._text = ""
        self._read_to = 0

    @property
    def audio_s(self) -> float:
        """Seconds of audio rendered so far."""
        return self._encoder.position / self.sample_rate

    async def read(self, text: str) -> None:
        """Append a whole text while it is spoken, and finish.

        A text with nothing to say in it ends in a Failure. Raise TooLarge, BadValue.
        """
        self._whole = True
        self.context.check_whole(text)
        self._text = text
        if not text:
            self.context.finish()
        await self._read_on()

    async def _read_on(self) -> None:
        """Append more of the whole text when little of it is left to speak.

        A text takes several times its length in memory once its sentences are found.
        """
        while self._read_to < len(self._text) and self.context.runs_low:
            piece = self._text[self._read_to : self._read_to + CHARACTERS_AT_ONCE]
            self._read_to += len(piece)
            self.context.append(piece)
            if self._read_to == len(self._text):
                self.context.finish()
            await anyio.lowlevel.checkpoint()

    async def append(self, text: str) -> None:
        """Append text to the context, a piece at a time. Raise as `SpeechContext.append` does."""
        self.context.append(text[:CHARACTERS_AT_ONCE])
        for at in range(CHARACTERS_AT_ONCE, len(text), CHARACTERS_AT_ONCE):
            await anyio.lowlevel.checkpoint()
            self.context.append(text[at : at + CHARACTERS_AT_ONCE])

    def played(self, samples: int) -> None:
        """Report how far playback is, in samples at the output rate from the start of the context."""
        self.context.played_s(samples / self.sample_rate)

    def final_head(self) -> bytes:
        """Return the first bytes of the body with its true length, to write over its head; maybe none."""
        return self._encoder.final_head()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the context if it has not ended, and free what it held. Idempotent."""
        self.context.close()
        self._encoder.close()
        self._release(self.end)

    async def outputs(self) -> AsyncGenerator[Rendered, None]:
        """Yield sentences, words, audio and flushes, then the end."""
        while self.end is None:
            await self._read_on()
            output = await self.context.receive()
            if isinstance(output, Done | Cancelled | Failure):
                if isinstance(output, Done) and (rest := await self._encoder.finish()):
                    yield self._sounding(rest)
                end = self._checked(output)
                self._conclude(end)
                yield end
            elif isinstance(output, Speech):
                for piece in self._encoder.pieces(output.pcm):
                    if (frames := self._unless_stopped(await self._encoder.push(piece))) is not None:
                        yield frames
            elif (rendered := await self._render(output)) is not None:
                yield rendered

    async def audio(self) -> AsyncGenerator[bytes, None]:
        """Yield the audio alone. Raise the error of a context that fails."""
        async with aclosing(self.outputs()) as outputs:
            async for output in outputs:
                if isinstance(output, Frames):
                    yield output.data
                elif isinstance(output, Failure):
                    raise output.error()

    async def _render(self, output: UtteranceEnd | SentenceStart | WordTimes | Flushed) -> Rendered | None:
        match output:
            case UtteranceEnd():
                self.utterances += 1
                return self._unless_stopped(await self._encoder.end_utterance())
            case SentenceStart(index, text, start, end, sample, tempo):
                self._encoder.set_speed(tempo)
                return SentenceMark(index, text, start, end, self._encoder.at(sample))
            case WordTimes(times):
                return TimedWords(self._words(times))
            case Flushed():
                return output

    def _unless_stopped(self, frames: list[Frame]) -> Frames | None:
        """Drop the frames of a context that was stopped while they were encoded."""
        return self._sounding(frames) if frames and not self.context.stopped else None

    def _sounding(self, frames: list[Frame]) -> Frames:
        rendered = Frames(frames)
        self._metrics.audio.inc(rendered.samples / self.sample_rate)
        return rendered

    def _words(self, times: Iterable[WordTime]) -> tuple[TimedWord, ...]:
        text = self.context.text
        words = []
        for time in times:
            start, end = with_punctuation(text, self._written_to, time.start, time.end)
            self._written_to = end
            spaced = end >= len(text) or text[end].isspace()
            first, last = self._encoder.at(time.start_sample), self._encoder.at(time.end_sample)
            words.append(
                TimedWord(
                    time.text, time.start, time.end, text[start:end], spaced, first, last, time.estimated
                )
            )
        return tuple(words)

    def _checked(self, end: End) -> End:
        """Turn the end of a whole text that had nothing to say into a Failure."""
        if isinstance(end, Done) and self._whole and not self.utterances:
            return failure_of(BadValue("there is nothing in it to say.", field="text"))
        return end

    def _conclude(self, end: End) -> None:
        self.end = end
        match end:
            case Done(metrics):
                log.info("context done", **self._labels, **asdict(metrics))
            case Cancelled(generated_ms=generated_ms, played_ms=played_ms):
                log.info("context cancelled", **self._labels, generated_ms=generated_ms, played_ms=played_ms)
            case Failure(code):
                log.warning("context failed", **self._labels, code=code)


def with_punctuation(text: str, since: int, start: int, end: int) -> tuple[int, int]:
    """Widen a word to the punctuation around it: up to white space, a letter or a tag, not before `since`."""
    while start > since and _is_punctuation(text[start - 1]):
        start -= 1
    while end < len(text) and _is_punctuation(text[end]):
        end += 1
    return start, end


def _is_punctuation(character: str) -> bool:
    return not (character.isspace() or character.isalnum() or character in "<>")
