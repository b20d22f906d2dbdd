"""A client of a foreign protocol, from the handshake to the end."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import anyio
import orjson
import structlog

from streaming_server.audio.frames import Frame
from streaming_server.context import (
    Broken,
    Cancelled,
    Done,
    End,
    Flushed,
    Output,
    Speech,
    UtteranceEnd,
    WordTime,
    WordTimes,
)
from streaming_server.errors import BadMessage, BadValue, SpeechError, TooLarge
from streaming_server.types import EngineInfo
from streaming_server.web.limits import MessageRate
from streaming_server.web.services import Parts
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.turn import Turn

MAX_NAME = 256
"""Longest name of a context, in characters."""

log = structlog.stdlib.get_logger(__name__)

TurnT = TypeVar("TurnT", bound=Turn)


class Session(ABC, Generic[TurnT]):
    """A task reads the client; each of its turns has a task that writes.

    first: a message that was read before its time, if one was. closing: whether nothing more is listened to.

    What a protocol adds is how it understands a message and how it tells what comes of it.
    """

    def __init__(self, parts: Parts, connection: Connection, subprotocol: str | None = None) -> None:
        self.parts = parts
        self.connection = connection
        self._subprotocol = subprotocol
        self._engine: EngineInfo | None = None
        self._rate = MessageRate(parts.settings.messages_per_second)
        self._turns: set[TurnT] = set()
        self.closing = False
        self.first: str | bytes | None = None

    @property
    def engine(self) -> EngineInfo:
        """Only once the client has been let in."""
        assert self._engine is not None
        return self._engine

    # What each protocol says for itself.

    @abstractmethod
    async def obey(self, message: dict[str, Any]) -> None:
        """Do what a message asks. Raises what is wrong with it."""

    @abstractmethod
    async def sound(self, turn: TurnT, frames: list[Frame]) -> None:
        """Send the next of a turn's audio, never empty."""

    @abstractmethod
    async def ended(self, turn: TurnT, end: End) -> None:
        """Tell how a turn ended. Its name is free already."""

    @abstractmethod
    async def report(self, error: SpeechError) -> None:
        """Tell what was wrong with a message."""

    @abstractmethod
    def forget(self, turn: TurnT) -> None:
        """The turn's name is free from now on. Idempotent."""

    def read(self, raw: str | bytes) -> dict[str, Any]:
        """A message as it came, as an object. Raises BadMessage."""
        return read_object(raw)

    async def greet(self) -> bool:
        """Say what comes first; False if the client may not stay."""
        return True

    async def spoken(self, turn: TurnT) -> None:
        """The turn was spoken to its end; send what was held back of it."""

    async def words(self, turn: TurnT, times: tuple[WordTime, ...]) -> None:
        """Tell when words are heard; their audio comes after."""

    async def flushed(self, turn: TurnT) -> None:
        """All audio of the text before one flush that the client asked for was sent."""

    # Reading.

    async def run(self) -> None:
        """Serve until the client leaves or is sent away."""
        if not await self.connection.accept(self._subprotocol):
            return
        if not await self.greet():
            return
        self._engine = await self.parts.pool.engine()
        if self.first is not None:
            await self._take(self.first)
        while (raw := await self.connection.receive()) is not None:
            await self._take(raw)

    async def _take(self, raw: str | bytes) -> None:
        """Obey one message, when it is due: tokens of a language model come in bursts, and those who send
        more than they may are kept waiting, not sent away."""
        if (early_s := self._rate.early_s()) > 0:
            await anyio.sleep(early_s)
        try:
            if not self.closing:
                await self.obey(self.read(raw))
        except SpeechError as error:
            log.info("message refused", code=error.code, size=len(raw))
            await self.report(error)

    async def send_away(self, error: SpeechError) -> None:
        await self.report(error)
        self.hang_up(error)

    def hang_up(self, error: SpeechError | None = None) -> None:
        """Close the connection, with the error's code. Nothing more that comes is obeyed."""
        self.closing = True
        self.connection.end(error)

    # Turns.

    def check_space(self) -> None:
        """Raises TooLarge when the connection holds as many contexts as it may."""
        if len(self._turns) >= self.parts.settings.max_contexts:
            raise TooLarge(f"A connection holds at most {self.parts.settings.max_contexts} contexts.")

    def start(self, turn: TurnT) -> None:
        """From now on its output is carried to the client."""
        self._turns.add(turn)
        self.connection.tasks.start_soon(self._carry, turn)

    def close_when_quiet(self) -> None:
        """Listen no more, and close the connection once every turn has ended."""
        self.closing = True
        self.connection.tasks.start_soon(self._close_when_quiet)

    async def _close_when_quiet(self) -> None:
        for turn in list(self._turns):
            await turn.gone.wait()
        await anyio.lowlevel.checkpoint_if_cancelled()  # One that failed may have hung up.
        await self.connection.close()
        self.connection.end()

    async def _carry(self, turn: TurnT) -> None:
        """Carry one turn's output to the client, to its end."""
        end: End | None = None
        try:
            if turn.before is not None:
                await turn.before.gone.wait()
                turn.before = None
            while end is None:
                output = await turn.context.receive()
                if isinstance(output, Done | Cancelled | Broken):
                    end = output
                else:
                    await self._put(turn, output)
            if isinstance(end, Done):
                await self.spoken(turn)
            elif isinstance(end, Broken):
                log.warning("context failed", context=turn.name, code=end.code)
            self.forget(turn)
            self.parts.contexts.left(turn.context, end)
            await self.ended(turn, end)
        finally:
            self.forget(turn)
            self._turns.discard(turn)
            turn.gone.set()
            self.parts.contexts.left(turn.context, end)

    async def _put(self, turn: TurnT, output: Output) -> None:
        match output:
            case Speech(pcm):
                await self._put_sound(turn, turn.encoder.push(pcm))
            case UtteranceEnd():
                await self._put_sound(turn, turn.encoder.end_utterance())
            case WordTimes(times):
                await self.words(turn, times)
            case Flushed():
                if turn.flushes.popleft():
                    await self.flushed(turn)

    async def _put_sound(self, turn: TurnT, frames: list[Frame]) -> None:
        if frames and not turn.context.stopped:
            self.parts.metrics.audio.inc(sum(frame.samples for frame in frames) / turn.sample_rate)
            await self.sound(turn, frames)


def read_object(raw: str | bytes) -> dict[str, Any]:
    """A message that is a JSON object, in text or binary. Raises BadMessage."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        message = _read_halves(raw)
    if not isinstance(message, dict):
        raise BadMessage("A message is a JSON object.")
    return message


def _read_halves(raw: str | bytes) -> Any:
    """JSON with halves of surrogate pairs, which clients send when they cut a string anywhere."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise BadMessage("This is not JSON.") from None


def read_name(message: dict[str, Any], *fields: str) -> str | None:
    """The context a message is about, from the first of the fields that is there. Raises BadValue."""
    for field in fields:
        name = message.get(field)
        if name is None:
            continue
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or not _encodable(name):
            raise BadValue(f"a string of 1 to {MAX_NAME} characters.", field=field)
        return name
    return None


def _encodable(name: str) -> bool:
    """Whether it can be sent back: half a surrogate pair cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
