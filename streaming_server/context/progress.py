"""Progress of a context: sentences announced, audio synthesized, text heard."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streaming_server.context.outputs import Output, SentenceStart, Speech, UtteranceEnd, WordTime, WordTimes
from streaming_server.text.narration import Narration
from streaming_server.text.passage import Passage, Quotation
from streaming_server.types import WordMark


class Progress:
    """Turns the engine's audio and word marks into outputs, in order.

    A sentence is announced before its audio and before its words. Positions are samples at the engine's rate;
    `listener_samples` and `played` count them as the listener hears them, after the change of tempo. Offsets
    are code points of the client's text.
    """

    def __init__(self, narration: Narration) -> None:
        self._narration = narration
        self._utterance: _Utterance | None = None
        self._heard_until: deque[tuple[float, int]] = deque()
        self._spoken_until = 0
        self._engine_samples = 0
        self._listener_samples = 0.0
        self._sentences = 0

    @property
    def engine_samples(self) -> int:
        """Samples of the engine's audio so far."""
        return self._engine_samples

    @property
    def listener_samples(self) -> float:
        """Samples of audio so far, pauses included, as the listener hears them."""
        utterance = self._utterance
        return self._listener_samples + (utterance.heard(utterance.samples) if utterance else 0)

    @property
    def tempo(self) -> float:
        """The tempo of the current utterance; 1 between utterances."""
        return self._utterance.tempo if self._utterance else 1.0

    @property
    def begun(self) -> bool:
        """True once a sentence was announced."""
        return self._sentences > 0

    @property
    def restarts(self) -> int | None:
        """Restarts of the worker that the current utterance has seen; None between utterances."""
        return None if self._utterance is None else self._utterance.restarts

    def begin(self, passage: Passage, tempo: float) -> None:
        """Begin the next utterance."""
        self._utterance = _Utterance(passage, deque(passage.sentences), tempo)

    def restart(self, restarts: int) -> None:
        """Forget the audio of the current utterance.

        Announced sentences stay announced; only the audio is repeated.
        """
        utterance = self._current
        self._engine_samples -= utterance.samples
        utterance.samples, utterance.restarts = 0, restarts
        utterance.marked_sample = 0

    def audio(self, pcm: bytes) -> Iterator[Output]:
        """Iterate over the outputs for the next audio."""
        utterance = self._current
        yield from self._announced(utterance.passage.start, utterance.samples)
        utterance.samples += len(pcm) // 2
        self._engine_samples += len(pcm) // 2
        yield Speech(pcm)

    def words(self, marks: tuple[WordMark, ...]) -> Iterator[Output]:
        """Iterate over the outputs for word marks.

        Ignore marks of words already announced, outside the text, or earlier than the mark before.
        """
        utterance = self._current
        text = self._narration.text
        words: list[WordTime] = []
        for mark in utterance.passage.written(utterance.possible(marks)):
            word = text[mark.start : mark.end]
            start, end = mark.start + len(word) - len(word.lstrip()), mark.start + len(word.rstrip())
            if end <= max(start, utterance.marked):
                continue
            utterance.marked = end
            if utterance.pending and utterance.pending[0].start <= start:
                if words:
                    yield WordTimes(tuple(words))
                    words = []
                yield from self._announced(start, mark.start_sample)
            words.append(
                WordTime(text[start:end], start, end, mark.start_sample, mark.end_sample, mark.estimated)
            )
            self._heard_until.append((self._listener_samples + utterance.heard(mark.start_sample), end))
        if words:
            yield WordTimes(tuple(words))

    def end(self) -> Iterator[Output]:
        """End the utterance. Iterate over the outputs that are still due."""
        utterance = self._current
        yield from self._announced(utterance.passage.end, utterance.samples)
        self._listener_samples = self.listener_samples
        self._heard_until.append((self._listener_samples, utterance.passage.end))
        self._utterance = None
        yield UtteranceEnd()

    def silence(self, samples: int) -> Iterator[Output]:
        """Iterate over the outputs for a pause."""
        if samples:
            self._listener_samples += samples
            yield Speech(bytes(2 * samples))
            yield UtteranceEnd()

    def spoken_until(self, played: int) -> int:
        """Return the offset in the client's text that playback has reached after `played` samples."""
        while self._heard_until and self._heard_until[0][0] < played:
            self._spoken_until = self._heard_until.popleft()[1]
        return self._spoken_until

    @property
    def _current(self) -> _Utterance:
        assert self._utterance is not None
        return self._utterance

    def _announced(self, up_to: int, sample: int) -> Iterator[SentenceStart]:
        """Announce the sentences that begin at or before an offset."""
        pending = self._current.pending
        while pending and pending[0].start <= up_to:
            sentence = pending.popleft()
            index = self._sentences
            self._sentences += 1
            yield SentenceStart(index, sentence.text, sentence.start, sentence.end, sample, self.tempo)


@dataclass(slots=True)
class _Utterance:
    """The utterance being spoken.

    pending: its sentences not yet announced. marked: the end of the last announced word. marked_sample: the
    time of the last mark.
    """

    passage: Passage
    pending: deque[Quotation]
    tempo: float
    samples: int = 0
    marked: int = 0
    marked_sample: int = 0
    restarts: int = 0

    def heard(self, sample: int) -> float:
        """Return where a sample is heard, counted from the start of the utterance."""
        return sample / self.tempo

    def possible(self, marks: Iterable[WordMark]) -> Iterator[WordMark]:
        """Iterate over the marks that lie in the text and do not go back in time."""
        for mark in marks:
            in_text = 0 <= mark.start < mark.end <= len(self.passage.text)
            if in_text and self.marked_sample <= mark.start_sample <= mark.end_sample:
                self.marked_sample = mark.start_sample
                yield mark
