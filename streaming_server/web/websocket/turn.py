"""A turn of speech of a foreign protocol: text joined as its client cuts it, words as it wrote them.

Pure: no I/O.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import anyio

from streaming_server.audio.frames import FrameEncoder
from streaming_server.context import SpeechContext, WordTime
from streaming_server.errors import BadMessage, BadValue, TooLarge

Joining = Literal["verbatim", "sentences", "words", "likely"]
"""What lies between two messages' texts.

verbatim: nothing; the client cuts its text anywhere. sentences: white space; the client sends whole ones.
words: white space; the client sends whole words, or several.
likely: white space where one message ends a sentence and the next begins another; otherwise nothing.
"""

_ENDS_SENTENCE = re.compile(r"""[.!?…。！？]["'”’»)\]]*\s*\Z""")
_ENDS_NUMBER = re.compile(r"\d\.\Z")
_BEGINS_SENTENCE = re.compile(r"""["'“‘«(\[¿¡]|[^\W_]""")


@dataclass(frozen=True, slots=True)
class Word:
    """A word with the marks it stands with, as the client wrote it.

    spaced: whether white space, or nothing yet, comes after it. start, end: samples at the rate of what is
    sent, from the start of the context.
    """

    text: str
    spaced: bool
    start: int
    end: int


class Turn:
    """A context on a foreign wire.

    name: what the client calls it, if anything. before: the turn whose last word comes first. unflushed:
    whether there is text that no flush came after. flushes: those under way; whether the client asked for it.
    """

    def __init__(
        self,
        name: str | None,
        context: SpeechContext,
        encoder: FrameEncoder,
        sample_rate: int,
        *,
        joining: Joining,
        max_text: int,
        before: Turn | None = None,
    ) -> None:
        self.name = name
        self.context = context
        self.encoder = encoder
        self.sample_rate = sample_rate
        self.joining = joining
        self.before = before
        self.gone = anyio.Event()
        self.unflushed = False
        self.flushes: deque[bool] = deque()
        self._max_text = max_text
        self._deltas: list[str] = []
        self._last = ""
        self._marked = 0

    def append(self, text: str) -> None:
        """One message's text. Raises as `SpeechContext.append` does, and TooLarge for one too long."""
        if not text:
            return
        self.unflushed = self.unflushed or not text.isspace()
        if len(text) > self._max_text:
            raise TooLarge(f"at most {self._max_text} characters a message.", field="text")
        if "\0" in text:
            raise BadValue("a NUL character cannot be spoken.", field="text")
        delta = joined(self._last, text, self.joining)
        self.context.append(delta)
        self._deltas.append(delta)
        self._last = delta
        if self.joining == "sentences" and not text.isspace() and not _ENDS_SENTENCE.search(text):
            self._flush(asked=False)

    def flush(self) -> None:
        """Speak what is there. Raises as `SpeechContext.flush` does."""
        self._flush(asked=True)
        self.unflushed = False

    def _flush(self, *, asked: bool) -> None:
        self.flushes.append(asked)
        self.context.flush()

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """What the text itself does wrong ends the turn, and nothing else."""
        try:
            yield
        except (BadMessage, BadValue, TooLarge) as error:
            self.context.fail(error.code, error.message, error.retryable)

    def words(self, times: Iterable[WordTime]) -> list[Word]:
        """The next words, in the utterance whose audio is being encoded."""
        text = self._text()
        words = []
        for time in times:
            start, end = with_marks(text, self._marked, time.start, time.end)
            self._marked = end
            words.append(
                Word(
                    text[start:end],
                    text[end : end + 1].isspace() or end >= len(text),
                    self.encoder.at(time.start_sample),
                    self.encoder.at(time.end_sample),
                )
            )
        return words

    def _text(self) -> str:
        """All text so far, surrogate pairs that came in halves joined, as offsets count."""
        if len(self._deltas) > 1:
            whole = "".join(self._deltas)
            if not whole.isascii():
                whole = whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            self._deltas = [whole]
        return self._deltas[0] if self._deltas else ""


def joined(before: str, text: str, joining: Joining) -> str:
    """What to append for a message's text, after what was appended before."""
    match joining:
        case "verbatim":
            return text
        case "sentences" | "words":
            return text if text[-1:].isspace() else text + " "
        case "likely":
            return " " + text if _likely_apart(before, text) else text


def _likely_apart(before: str, text: str) -> bool:
    """Whether one ends a sentence and the other begins one, with no white space between them.

    A single mark is what a client sends that cuts between characters; that says nothing of what follows.
    """
    if len(before) < 2 or not _ENDS_SENTENCE.search(before) or before[-1].isspace():
        return False
    first = text[:1]
    if not _BEGINS_SENTENCE.match(first) or first.islower():
        return False
    return not (first.isdigit() and _ENDS_NUMBER.search(before))


def with_marks(text: str, since: int, start: int, end: int) -> tuple[int, int]:
    """The word and the marks around it, up to white space, other words' letters, and never before `since`."""
    while start > since and not (text[start - 1].isspace() or text[start - 1].isalnum()):
        start -= 1
    while end < len(text) and not (text[end].isspace() or text[end].isalnum()):
        end += 1
    return start, end
