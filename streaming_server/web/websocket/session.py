"""A client's websocket from the handshake to its end, in any protocol."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import anyio
import structlog

from streaming_server.audio.frames import Frame
from streaming_server.context import Cancelled, End, Flushed
from streaming_server.errors import RateLimited, SpeechError, TooLarge
from streaming_server.render import Frames, Rendered, Rendering, SentenceMark, TimedWord, TimedWords
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import EngineInfo
from streaming_server.web.services import SpeechServices
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.decoding import decode_object
from streaming_server.web.websocket.lead import Lead
from streaming_server.web.websocket.message_rate import MessageRate
from streaming_server.web.websocket.turn import Turn

PHRASE_WAIT_S = 0.25
"""Seconds without text after which an unfinished sentence is spoken in `sentences` mode."""

log = structlog.stdlib.get_logger(__name__)

TurnT = TypeVar("TurnT", bound=Turn)


class Session(ABC, Generic[TurnT]):
    """Read from a client in one task, and write each of its turns in another.

    A subclass decodes and handles a protocol's messages, and sends audio and ends in its form. Errors raised
    by `handle` refuse the message; the turns go on.

    waits: whether a client that sends too fast is kept waiting; otherwise it is disconnected. closing:
    whether further messages are ignored. lead: of the client, over all its turns.
    """

    waits = True

    def __init__(self, services: SpeechServices, connection: Connection) -> None:
        self.services = services
        self.connection = connection
        self.closing = False
        self._engine: EngineInfo | None = None
        self._rate = MessageRate(services.settings.messages_per_second)
        self._turns: set[TurnT] = set()
        self.lead = Lead()

    @property
    def engine(self) -> EngineInfo:
        """The running engine, once the client has been greeted."""
        assert self._engine is not None
        return self._engine

    # For subclasses.

    @abstractmethod
    async def handle(self, message: Any) -> None:
        """Handle a message. Raise SpeechError to refuse it."""

    @abstractmethod
    async def send_audio(self, turn: TurnT, frames: list[Frame]) -> None:
        """Send the next frames of a turn; never empty."""

    @abstractmethod
    async def send_end(self, turn: TurnT, end: End) -> None:
        """Send the end of a turn, whose name is free already."""

    @abstractmethod
    async def send_error(self, error: SpeechError) -> None:
        """Send an error about a message. `error.context` names the context it is about, if any."""

    @abstractmethod
    def forget(self, turn: TurnT) -> None:
        """Free the turn's name. Idempotent."""

    def decode(self, raw: str | bytes) -> Any:
        """Decode a message. Raise BadMessage."""
        return decode_object(raw)

    async def greet(self) -> None:
        """Send the first messages of the protocol, if any."""

    async def send_start(self, turn: TurnT) -> None:
        """Announce a turn."""

    async def send_sentence(self, turn: TurnT, sentence: SentenceMark) -> None:
        """Send the place of a sentence, before its audio."""

    async def send_words(self, turn: TurnT, words: tuple[TimedWord, ...]) -> None:
        """Send the times of words, before their audio."""

    async def send_flushed(self, turn: TurnT, flushes: int) -> None:
        """Acknowledge flushes: all audio of the text before them was sent."""

    # Reading.

    async def run(self, first: str | bytes | None = None) -> None:
        """Serve the client until it leaves or is disconnected. first: a message already received."""
        self._engine = await self.services.pool.engine()
        await self.greet()
        if first is not None:
            await self._take(first)
        while (raw := await self.connection.receive()) is not None:
            await self._take(raw)

    async def _take(self, raw: str | bytes) -> None:
        try:
            await self._pace()
            if not self.closing:
                await self.handle(self.decode(raw))
        except RateLimited as error:
            await self.disconnect(error)
        except SpeechError as error:
            log.info("message refused", code=error.code, size=len(raw))
            await self.send_error(error)

    async def _pace(self) -> None:
        """Tokens of a language model come in bursts: hold the client back rather than disconnect it."""
        if not self.waits:
            self._rate.count()
        elif (early_s := self._rate.consume()) > 0:
            await anyio.sleep(early_s)

    async def disconnect(self, error: SpeechError) -> None:
        """Send an error and close the connection with its code."""
        await self.send_error(error)
        self.hang_up(error)

    def hang_up(self, error: SpeechError | None = None) -> None:
        """Close the connection, with the error's code. Messages that still arrive are ignored."""
        self.closing = True
        self.connection.end(error)

    # Turns.

    def open(self, options: SpeechOptions) -> Rendering:
        """Open a context. Raise TooLarge when the connection holds as many as it may, and as
        `Contexts.open` does.

        A client that gets unpaced audio has the longer stall timeout: it may play while it reads.
        """
        most = self.services.settings.max_contexts
        if len(self._turns) >= most:
            raise TooLarge(f"A connection holds at most {most} contexts.")
        if not self.services.contexts.paces(options):
            self.connection.send_timeout_s = self.services.settings.stall_timeout_s
        return self.services.contexts.open(self.engine, options)

    @property
    def max_text(self) -> int:
        """Longest text of one message, in characters."""
        return self.services.settings.max_text_characters

    def start(self, turn: TurnT) -> None:
        """Start to send the turn's output to the client."""
        self._turns.add(turn)
        self.connection.open_context()
        self.connection.tasks.start_soon(self._carry, turn)

    def speak_phrase_soon(self, turn: TurnT) -> None:
        """In `sentences` mode, flush an unfinished sentence unless more text arrives."""
        if turn.amid_sentence:
            self.connection.tasks.start_soon(self._speak_phrase, turn, turn.appended)

    async def _speak_phrase(self, turn: TurnT, appended: int) -> None:
        await anyio.sleep(PHRASE_WAIT_S)
        if turn.appended == appended and not turn.context.finished:
            with turn.failing_on_bad_text():
                turn.context.flush(announce=False)

    def close_when_quiet(self) -> None:
        """Ignore further messages, and close the connection once every turn has ended."""
        self.closing = True
        self.connection.tasks.start_soon(self._close_when_quiet)

    async def _close_when_quiet(self) -> None:
        for turn in list(self._turns):
            await turn.end_sent.wait()
        await anyio.lowlevel.checkpoint_if_cancelled()  # A turn that failed may have hung up.
        await self.connection.close()
        self.connection.end()

    def conclude(self, turn: TurnT, end: End) -> None:
        """Free the name of a turn whose end is about to be sent."""
        self.forget(turn)

    async def _carry(self, turn: TurnT) -> None:
        """Send one turn's output to the client, to its end."""
        try:
            async with turn.rendering as rendering, aclosing(rendering.outputs()) as outputs:
                if turn.before is not None:
                    await turn.before.end_sent.wait()
                    turn.before = None
                await self.send_start(turn)
                async for output in outputs:
                    await self._send(turn, output)
            assert rendering.end is not None
            if isinstance(rendering.end, Cancelled):
                self.lead.dropped(turn.sent_s - rendering.end.played_ms / 1000, time.monotonic())
            self.conclude(turn, rendering.end)
            await self.send_end(turn, rendering.end)
        finally:
            self.forget(turn)
            self._turns.discard(turn)
            turn.end_sent.set()
            self.connection.close_context()

    async def _send(self, turn: TurnT, output: Rendered) -> None:
        match output:
            case Frames(frames):
                seconds = output.samples / turn.sample_rate
                turn.sent_s += seconds
                self.lead.sent(seconds, time.monotonic())
                await self.send_audio(turn, frames)
            case SentenceMark():
                await self.send_sentence(turn, output)
            case TimedWords(words):
                await self.send_words(turn, words)
            case Flushed(flushes):
                await self.send_flushed(turn, flushes)
