"""The text that `say` speaks, which may still be arriving at standard input."""

from __future__ import annotations

import asyncio
import codecs
import errno
import os
import re
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

from streaming_server.errors import SpeechError

READ_BYTES = 65536
END = re.compile(r"""\n|[.!?…]["'”’)\]]*\s|[。！？]""")
"""The end of a line or, likely, of a sentence."""
MOST_TAIL = 5000
"""Length of the tail of a part in which its end is sought; held back until it is found."""
TAG = re.compile(r"\[S\d+\]", re.IGNORECASE)
"""A speaker tag."""
MOST_UNSENT = 1_000_000
"""Characters to read ahead of what was sent."""


class InputText:
    """A text that grows until it is complete. Invalid UTF-8 becomes U+FFFD.

    It is kept whole, so that it can be sent again from its beginning.

    is_typed: whether it comes from a terminal.
    """

    def __init__(self, *, is_typed: bool = False) -> None:
        self.is_typed = is_typed
        self._text = ""
        self._sent = 0
        self._complete = False
        self._error: OSError | None = None
        self._grown = asyncio.Event()
        self._room = threading.Condition()

    @classmethod
    def of(cls, data: bytes) -> InputText:
        """Return a text that is complete."""
        text = cls()
        text._add(data.decode("utf-8", "replace"))
        text._end()
        return text

    @classmethod
    def from_standard_input(cls) -> InputText:
        """Return a text that grows as standard input is read, from now on.

        A thread reads, because an event loop can wait for pipes and terminals but not for files. Nothing
        waits for the thread: a terminal at which nobody types delays no exit.
        """
        text = cls(is_typed=sys.stdin is not None and sys.stdin.isatty())
        loop = asyncio.get_running_loop()
        threading.Thread(target=text._read, args=(loop,), name="standard input", daemon=True).start()
        return text

    @property
    def characters(self) -> int | None:
        """The number of characters; None until the text is complete."""
        return len(self._text) if self._complete else None

    async def pieces(self, longest: int, begin: int, most: int) -> AsyncIterator[str]:
        """Yield the text from `begin` on, in pieces of at most `longest` characters, as it arrives.

        They end after at most `most` characters, between sentences if there is such a place among the
        last of these. Raise SpeechError if standard input cannot be read.
        """
        at, limit = begin, begin + most
        tail = limit - min(most // 10, MOST_TAIL)
        while True:
            end = self._end_of_part(tail, limit)
            known = tail if end is None else end
            while piece := self._text[at : min(at + longest, known)]:
                yield piece
                at += len(piece)
                self._note_sent(at)
            if end is not None:
                return
            if self._error is not None:
                raise SpeechError(f"Standard input cannot be read: {self._error.strerror}.")
            self._grown.clear()
            await self._grown.wait()

    def speaker_at(self, position: int) -> str:
        """Return the speaker tag in effect at a position in the text, "" for none."""
        tags = TAG.findall(self._text, 0, position)
        return tags[-1] if tags else ""

    def _end_of_part(self, tail: int, limit: int) -> int | None:
        """Return where a part of the text ends, from `tail` to `limit`; None if that is not known yet."""
        if self._complete and len(self._text) <= limit:
            return len(self._text)
        if ends := [match.end() for match in END.finditer(self._text, tail, limit)]:
            return ends[-1]
        if len(self._text) < limit:
            return None
        return self._text.rfind(" ", tail, limit) + 1 or limit

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        characters = 0
        with suppress(RuntimeError):  # The loop is closed; the text is no longer needed.
            try:
                fd = _standard_input()
                while data := os.read(fd, READ_BYTES):
                    piece = decoder.decode(data)
                    characters += len(piece)
                    loop.call_soon_threadsafe(self._add, piece)
                    self._wait_for_room(characters)
                loop.call_soon_threadsafe(self._add, decoder.decode(b"", final=True))
                loop.call_soon_threadsafe(self._end)
            except OSError as error:
                loop.call_soon_threadsafe(self._end, error)

    def _add(self, piece: str) -> None:
        self._text += piece
        self._grown.set()

    def _wait_for_room(self, characters: int) -> None:
        with self._room:
            self._room.wait_for(lambda: characters - self._sent < MOST_UNSENT)

    def _note_sent(self, at: int) -> None:
        with self._room:
            self._sent = max(self._sent, at)
            self._room.notify()

    def _end(self, error: OSError | None = None) -> None:
        self._complete, self._error = error is None, error
        self._grown.set()


def _standard_input() -> int:
    if sys.stdin is None:  # Closed at the start; another file may have its number now.
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    fd = sys.stdin.fileno()
    os.set_blocking(fd, True)  # The program that started this one may have changed it.
    return fd
