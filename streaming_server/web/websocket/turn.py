"""A context on the wire: its client's name for it, and how the client cuts its text into messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import anyio

from streaming_server.context import SpeechContext
from streaming_server.errors import BadValue, TooLarge
from streaming_server.render import Rendering

Joining = Literal["verbatim", "sentences", "words", "likely"]
"""Ways to join the texts of consecutive messages.

verbatim: nothing; the client cuts its text anywhere. sentences: white space after a message that ends a
sentence; one that does not is spoken as it is once no more text has come for a moment. words: white space;
the client sends whole words. likely: white space where one message ends a sentence and the next begins
another.
"""

_ENDS_SENTENCE = re.compile(r"""[.!?…。！？]["'”’»)\]]*\s*\Z""")
_ENDS_NUMBER = re.compile(r"\d\.\Z")
_BEGINS_SENTENCE = re.compile(r"""["'“‘«(\[¿¡]|[^\W_]""")


class Turn:
    """One context of a connection.

    name: what the client calls it; None where the protocol has no names. before: the turn whose last message
    must be sent first. more: whether the client has yet to send the last message of it. end_sent: set
    once the turn's end has been sent. unflushed: whether text came after the last flush. appended: messages
    with text so far. sent_s: seconds of audio sent.
    """

    def __init__(
        self,
        name: str | None,
        rendering: Rendering,
        *,
        max_text: int,
        joining: Joining = "verbatim",
        before: Turn | None = None,
    ) -> None:
        self.name = name
        self.rendering = rendering
        self.joining: Joining = joining
        self.before = before
        self.more = True
        self.end_sent = anyio.Event()
        self.unflushed = False
        self.appended = 0
        self.sent_s = 0.0
        self._max_text = max_text
        self._last = ""

    @property
    def context(self) -> SpeechContext:
        return self.rendering.context

    @property
    def sample_rate(self) -> int:
        """Hz of the audio that is sent."""
        return self.rendering.sample_rate

    @property
    def amid_sentence(self) -> bool:
        """True if, in `sentences` mode, the last message left a sentence unfinished."""
        return self.joining == "sentences" and bool(self._last.strip()) and not ends_sentence(self._last)

    async def append(self, text: str) -> None:
        """Append the text of one message. Raise as `SpeechContext.append` does, and TooLarge."""
        if not text:
            return
        self.unflushed = self.unflushed or not text.isspace()
        if len(text) > self._max_text:
            raise TooLarge(f"at most {self._max_text} characters a message.", field="text")
        delta = joined(self._last, text, self.joining)
        self._last = delta
        await self.rendering.append(delta)
        self.appended += 1

    def flush(self) -> None:
        """Speak what is there. Raise as `SpeechContext.flush` does."""
        self.context.flush()
        self.unflushed = False

    def finish(self) -> None:
        """Take no more text. Raise as `SpeechContext.finish` does."""
        self.more = False
        self.context.finish()

    @contextmanager
    def failing_on_bad_text(self) -> Iterator[None]:
        """Fail the context with an error of its text. Other errors refuse the message and nothing else."""
        try:
            yield
        except (BadValue, TooLarge) as error:
            self.context.fail(error)


def ends_sentence(text: str) -> bool:
    return bool(_ENDS_SENTENCE.search(text))


def joined(before: str, text: str, joining: Joining) -> str:
    """Return what to append for a message's text, after what was appended before."""
    match joining:
        case "verbatim":
            return text
        case "sentences":
            return text + " " if ends_sentence(text) and not text[-1].isspace() else text
        case "words":
            return text if text[-1:].isspace() else text + " "
        case "likely":
            return " " + text if _likely_apart(before, text) else text


def _likely_apart(before: str, text: str) -> bool:
    """Guess whether one message ends a sentence and the next begins one, with no white space between them.

    A client that cuts between characters sends single marks; those tell nothing about what follows.
    """
    if len(before) < 2 or not ends_sentence(before) or before[-1].isspace():
        return False
    first = text[:1]
    if not _BEGINS_SENTENCE.match(first) or first.islower():
        return False
    return not (first.isdigit() and _ENDS_NUMBER.search(before))
