"""The native websocket, `/ws/speak`: JSON in, JSON and binary audio out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import anyio
import structlog
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from streaming_server.audio.frames import AUDIO_KIND, FRAME_HEADER, Frame, FrameEncoder
from streaming_server.context import (
    Broken,
    Cancelled,
    Done,
    End,
    Flushed,
    Output,
    SentenceStart,
    Speech,
    SpeechContext,
    UtteranceEnd,
    WordTimes,
)
from streaming_server.errors import (
    BadMessage,
    BadValue,
    DuplicateContext,
    RateLimited,
    SpeechError,
    TooLarge,
    UnknownContext,
)
from streaming_server.types import ENCODINGS, SAMPLE_RATES, EngineInfo
from streaming_server.web.limits import MessageRate
from streaming_server.web.native.messages import (
    Auth,
    CancelSpeech,
    Finish,
    Flush,
    Message,
    Options,
    Ping,
    Played,
    Speak,
    Start,
    Text,
    address_of,
    read,
)
from streaming_server.web.services import Parts, parts_of
from streaming_server.web.websocket.admission import admit
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.registry import message_of, pressures

PROTOCOL = 1
EVERY_CONTEXT = "*"
HANDLES = 1 << 16
MOST_UNTOLD = 8
"""News on their way to a client; what else happens meanwhile is not told to it."""

log = structlog.stdlib.get_logger(__name__)


async def speak(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI endpoint: turns away, or serves a session to its end."""
    parts = parts_of(HTTPConnection(scope))
    place = await admit(scope, receive, send, lambda: parts.limits.speaking(parts.pool.has_room))
    if place is None:
        return
    connection = Connection(receive, send)
    with place, parts.connections.holding(connection):
        await connection.serve(Session(parts, connection).run)


@dataclass(slots=True, eq=False)
class Turn:
    """A context on the wire: its name and handle, and how it wants its sound."""

    name: str
    handle: int
    options: Options
    context: SpeechContext
    encoder: FrameEncoder
    sample_rate: int
    before: Turn | None
    sequence: int = 0
    gone: anyio.Event = field(default_factory=anyio.Event)


class Session:
    """One client. A task reads it; each of its contexts has a task that writes."""

    def __init__(self, parts: Parts, connection: Connection) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._connection = connection
        self._engine: EngineInfo | None = None
        self._rate = MessageRate(parts.settings.messages_per_second)
        self._turns: dict[str, Turn] = {}
        self._leaving: dict[str, Turn] = {}
        self._failed: deque[str] = deque(maxlen=4 * parts.settings.max_contexts)
        self._handles: set[int] = set()
        self._next_handle = 0
        self._untold = 0

    async def run(self) -> None:
        """Tell what there is, and serve until the client leaves or is sent away."""
        self._engine = await self._parts.pool.engine()
        await self._connection.say(self._ready(self._engine))
        self._connection.listener = self._tell
        for change in pressures(self._parts.pool):
            await self._connection.say(message_of(change))
        await self._read()

    def _tell(self, message: Mapping[str, Any]) -> None:
        """Send something that belongs to no context; a client that does not read it in time is ended."""
        if self._untold < MOST_UNTOLD:
            self._untold += 1
            self._connection.tasks.start_soon(self._deliver, message)

    async def _deliver(self, message: Mapping[str, Any]) -> None:
        await self._connection.say(message)
        self._untold -= 1

    async def _send_away(self, error: SpeechError) -> None:
        await self._report(error)
        self._connection.end(error)

    def _ready(self, engine: EngineInfo) -> dict[str, Any]:
        settings = self._settings
        return {
            "type": "ready",
            "protocol": PROTOCOL,
            "engine": engine.name,
            "notice": engine.notice,
            "sample_rate": engine.sample_rate,
            "sample_rates": SAMPLE_RATES,
            "encodings": ENCODINGS,
            "voices": [
                {"id": voice.id, "name": voice.name, "style": voice.style}
                for voice in self._parts.catalogue.voices
            ],
            "languages": engine.languages,
            "limits": {
                "contexts": settings.max_contexts,
                "message_bytes": settings.max_message_bytes,
                "text_characters": settings.max_text_characters,
                "context_characters": settings.max_context_characters,
                "messages_per_second": settings.messages_per_second,
                "max_lead_ms": settings.max_lead_ms,
            },
        }

    # Reading.

    async def _read(self) -> None:
        while (raw := await self._connection.receive()) is not None:
            try:
                self._rate.count()
                if isinstance(raw, bytes):
                    raise BadMessage("Messages to the server are JSON text, not binary.")
                await self._obey(self._understand(raw))
            except RateLimited as error:
                await self._send_away(error)
                return
            except SpeechError as error:
                log.info("message refused", code=error.code, size=len(raw))
                await self._report(error)

    def _understand(self, raw: str) -> Message:
        try:
            return read(raw)
        except SpeechError as error:
            kind, name = address_of(raw)
            if name is not None and name not in self._turns:
                if kind != "speak":  # The rest of a turn follows; `speak` is the whole of one.
                    self._note_failed(name)
                error.context = name
            raise

    async def _obey(self, message: Message) -> None:
        match message:
            case Text(context=name, text=text):
                if not self._swallowed(name, ends=False):
                    turn = self._turns.get(name) or self._start(Start(type="start", context=name))
                    with _blamed(turn):
                        self._append(turn, text)
            case Start():
                self._start(message)
            case Speak(context=name, text=text):
                turn = self._start(message)
                with _blamed(turn):
                    self._append(turn, text)
                with _blamed(turn):
                    turn.context.finish()
            case Flush(context=name):
                if not self._swallowed(name, ends=False):
                    with _blamed(turn := self._turn(name)):
                        turn.context.flush()
            case Finish(context=name):
                if not self._swallowed(name, ends=True):
                    with _blamed(turn := self._turn(name)):
                        turn.context.finish()
            case CancelSpeech(context=name):
                self._cancel(name)
            case Played(context=name, samples=samples):
                self._played(name, samples)
            case Ping(id=ping):
                await self._connection.say({"type": "pong", "id": ping})
            case Auth():
                pass  # Said again, or without need.

    def _append(self, turn: Turn, text: str) -> None:
        if "\0" in text:
            raise BadValue("a NUL character cannot be spoken.", field="text")
        if len(text) > self._settings.max_text_characters:
            raise TooLarge(
                f"at most {self._settings.max_text_characters} characters a message.", field="text"
            )
        turn.context.append(text)

    def _start(self, options: Start | Speak) -> Turn:
        """Open a context. Raises DuplicateContext, or what is wrong with its options."""
        name = options.context
        if name in self._turns:
            raise DuplicateContext("This context is open already; its options stay as they are.")
        if name in self._failed:
            self._failed.remove(name)
        try:
            turn = self._open(name, options)
        except SpeechError as error:
            if isinstance(options, Start):  # The rest of a turn follows; `speak` is the whole of one.
                self._note_failed(name)
            error.context = name
            raise
        self._turns[name] = turn
        self._connection.tasks.start_soon(self._pump, turn)
        return turn

    def _open(self, name: str, options: Options) -> Turn:
        settings, engine = self._settings, self._engine
        assert engine is not None
        if len(self._handles) >= settings.max_contexts:
            raise TooLarge(f"A connection holds at most {settings.max_contexts} contexts.")
        if name == EVERY_CONTEXT:
            raise BadValue('context: "*" stands for every context and names none.')
        sample_rate = options.sample_rate or engine.sample_rate
        context = self._parts.contexts.open(engine, options.voice, options.generation, options.max_lead_ms)
        return Turn(
            name,
            self._take_handle(),
            options,
            context,
            FrameEncoder(engine.sample_rate, sample_rate, options.encoding),
            sample_rate,
            before=self._leaving.get(name),
        )

    def _turn(self, name: str) -> Turn:
        try:
            return self._turns[name]
        except KeyError:
            raise UnknownContext("No context of this name is open.") from None

    def _note_failed(self, name: str) -> None:
        if name not in self._failed:
            self._failed.append(name)

    def _swallowed(self, name: str, *, ends: bool) -> bool:
        """Whether this belongs to the rest of a turn that failed, of which the client may not know yet."""
        if name not in self._failed or name in self._turns:
            return False
        if ends:
            self._failed.remove(name)
        return True

    def _cancel(self, name: str) -> None:
        """Cancel one or all; the name is free for a new turn at once."""
        for turn in list(self._turns.values()) if name == EVERY_CONTEXT else [self._turns.get(name)]:
            if turn is not None:
                turn.context.cancel()
                self._leaving[turn.name] = self._turns.pop(turn.name)
        if name == EVERY_CONTEXT:
            self._failed.clear()
        elif name in self._failed:
            self._failed.remove(name)

    def _played(self, name: str, samples: int) -> None:
        if (turn := self._turns.get(name)) is not None and self._engine is not None:
            turn.context.played(samples * self._engine.sample_rate // turn.sample_rate)

    def _take_handle(self) -> int:
        while self._next_handle in self._handles:
            self._next_handle = (self._next_handle + 1) % HANDLES
        handle = self._next_handle
        self._handles.add(handle)
        self._next_handle = (handle + 1) % HANDLES
        return handle

    # Writing.

    async def _pump(self, turn: Turn) -> None:
        """Carry one context's output to the client, from `started` to its end."""
        context = turn.context
        end: End | None = None
        try:
            if turn.before is not None:
                await turn.before.gone.wait()
                turn.before = None
            await self._connection.say(self._started(turn))
            while end is None:
                output = await context.receive()
                await self._put(turn, output)
                if isinstance(output, Done | Cancelled | Broken):
                    end = output
        finally:
            self._leave(turn, failed=isinstance(end, Broken))
            self._parts.contexts.left(context, end)

    def _leave(self, turn: Turn, *, failed: bool) -> None:
        turn.gone.set()
        self._handles.discard(turn.handle)
        if self._leaving.get(turn.name) is turn:
            del self._leaving[turn.name]
        if self._turns.get(turn.name) is turn:
            del self._turns[turn.name]
            if failed and not turn.context.finished:
                self._note_failed(turn.name)

    async def _put(self, turn: Turn, output: Output) -> None:
        match output:
            case Speech(pcm):
                await self._put_frames(turn, turn.encoder.push(pcm))
            case UtteranceEnd():
                await self._put_frames(turn, turn.encoder.end_utterance())
            case SentenceStart():
                await self._connection.say(self._sentence(turn, output))
            case WordTimes():
                if turn.options.words:
                    await self._connection.say(self._words(turn, output))
            case Flushed():
                await self._connection.say({"type": "flushed", "context": turn.name})
            case Done(metrics):
                log.info("context done", context=turn.name, **asdict(metrics))
                await self._connection.say({"type": "done", "context": turn.name, "metrics": asdict(metrics)})
            case Cancelled():
                await self._connection.say({"type": "cancelled", "context": turn.name, **asdict(output)})
            case Broken(code, message, retryable):
                log.warning("context failed", context=turn.name, code=code)
                await self._connection.say(_error(code, message, retryable, turn.name))

    async def _put_frames(self, turn: Turn, frames: list[Frame]) -> None:
        if not frames or turn.context.stopped:
            return
        messages = []
        for frame in frames:
            header = FRAME_HEADER.pack(AUDIO_KIND, 0, turn.handle, turn.sequence, frame.first_sample)
            messages.append(header + frame.data)
            turn.sequence += 1
        self._parts.metrics.audio.inc(sum(frame.samples for frame in frames) / turn.sample_rate)
        await self._connection.send_frames(messages)

    def _started(self, turn: Turn) -> dict[str, Any]:
        assert self._engine is not None
        return {
            "type": "started",
            "context": turn.name,
            "handle": turn.handle,
            "voice": turn.options.voice,
            "sample_rate": turn.sample_rate,
            "encoding": turn.options.encoding,
            "channels": 1,
            "ignored": turn.options.ignored(self._engine.uses),
        }

    def _sentence(self, turn: Turn, sentence: SentenceStart) -> dict[str, Any]:
        return {
            "type": "sentence",
            "context": turn.name,
            "index": sentence.index,
            "text": sentence.text,
            "start": sentence.start,
            "end": sentence.end,
            "first_sample": turn.encoder.at(sentence.sample),
        }

    def _words(self, turn: Turn, times: WordTimes) -> dict[str, Any]:
        def ms(sample: int) -> float:
            return round(1000 * turn.encoder.at(sample) / turn.sample_rate, 1)

        words: list[dict[str, Any]] = []
        for word in times.words:
            entry: dict[str, Any] = {
                "text": word.text,
                "start": word.start,
                "end": word.end,
                "start_ms": ms(word.start_sample),
                "end_ms": ms(word.end_sample),
            }
            if word.estimated:
                entry["estimated"] = True
            words.append(entry)
        return {"type": "words", "context": turn.name, "words": words}

    async def _report(self, error: SpeechError) -> None:
        await self._connection.say(_error(error.code, error.message, error.retryable, error.context))


@contextmanager
def _blamed(turn: Turn) -> Iterator[None]:
    """What a text itself does wrong ends its context, and nothing else."""
    try:
        yield
    except (BadValue, TooLarge) as error:
        turn.context.fail(error.code, error.message, error.retryable)


def _error(code: str, message: str, retryable: bool, context: str | None) -> dict[str, Any]:
    about = {} if context is None else {"context": context}
    return {"type": "error", **about, "code": code, "message": message, "retryable": retryable}
