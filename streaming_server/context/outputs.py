"""The outputs of a context."""

from __future__ import annotations

from dataclasses import dataclass

from streaming_server.errors import SpeechError, error_of


@dataclass(frozen=True, slots=True)
class SentenceStart:
    """Precedes the sentence's audio.

    start, end: code points into the client's text. sample: where the sentence is heard, in samples at the
    engine's rate from the start of the utterance. tempo: how many times faster than the engine's audio the
    utterance is heard.
    """

    index: int
    text: str
    start: int
    end: int
    sample: int
    tempo: float = 1.0


@dataclass(frozen=True, slots=True)
class WordTime:
    """A word and the time it is heard. Offsets and samples as in `SentenceStart`."""

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
    """The next audio of an utterance: mono 16-bit PCM at the engine's rate."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class UtteranceEnd:
    """The utterance is complete; samples count from zero again, at tempo 1."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """All audio of the text before a flush is out. flushes: how many came with no text between them."""

    flushes: int = 1


@dataclass(frozen=True, slots=True)
class ContextMetrics:
    """Measurements of a context, in milliseconds.

    first_audio_ms: from the moment the first sentence was complete, even if it then waited for more text.
    queue_ms: the part of it before the engine returned anything. audio_ms: audio as the listener hears it.
    synthesis_ms: the engine's own time. realtime_factor: audio at the engine's own tempo ÷ synthesis.
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


Output = SentenceStart | WordTimes | Speech | UtteranceEnd | Flushed | Done | Cancelled | Failure
End = Done | Cancelled | Failure
