"""The native websocket, `/ws/speak`: JSON in, JSON and binary audio out."""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import anyio
import orjson
import structlog
from anyio.abc import TaskGroup
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from streaming_server.audio import Frame, FrameEncoder
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
    InternalError,
    RateLimited,
    SpeechError,
    TooLarge,
    Unauthorized,
    UnknownContext,
)
from streaming_server.types import ENCODINGS, SAMPLE_RATES, EngineInfo
from streaming_server.web.guard import MessageRate, key_of
from streaming_server.web.messages import (
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
    context_of,
    read,
)
from streaming_server.web.parts import Parts, parts_of
from streaming_server.web.wire import FRAMES

PROTOCOL = 1
EVERY_CONTEXT = "*"
AUDIO = 1
"""The kind of a binary message."""
FRAME_HEADER = struct.Struct("<BBHIQ")
"""kind, flags, handle, sequence, first sample."""
HANDLES = 1 << 16
RETRY_AFTER_S = 2

log = structlog.stdlib.get_logger(__name__)


async def speak(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI endpoint: refuses before accepting, or serves a session to its end."""
    socket = WebSocket(scope, receive, send)
    parts = parts_of(socket)
    try:
        parts.guard.check_origin(socket)
        parts.guard.check_room(len(parts.sessions), parts.pool.has_room)
        key = key_of(socket)
        if key is not None:
            parts.guard.check_key(key)
    except SpeechError as error:
        parts.metrics.refused.labels(error.code).inc()
        await refuse(send, error)
        return
    session = Session(parts, receive, send, authorized=key is not None or not parts.guard.wants_key)
    parts.sessions.add(session)
    parts.metrics.connections.inc()
    try:
        await session.run()
    finally:
        parts.sessions.remove(session)
        parts.metrics.connections.dec()


async def refuse(send: Send, error: SpeechError) -> None:
    """Answer the handshake with an HTTP error."""
    body = orjson.dumps({"error": {"code": error.code, "message": error.message}})
    headers = [(b"content-type", b"application/json")]
    if error.http_status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    await send({"type": "websocket.http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


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

    def __init__(self, parts: Parts, receive: Receive, send: Send, *, authorized: bool) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._receive = receive
        self._raw_send = send
        self._authorized = authorized
        self._engine: EngineInfo | None = None
        self._rate = MessageRate(parts.settings.messages_per_second)
        self._turns: dict[str, Turn] = {}
        self._leaving: dict[str, Turn] = {}
        self._failed: deque[str] = deque(maxlen=4 * parts.settings.max_contexts)
        self._handles: set[int] = set()
        self._next_handle = 0
        self._tasks: TaskGroup | None = None
        self._sends = 0
        self._sent_at = 0.0
        self._goodbye: SpeechError | None = None

    def unread_for(self, now: float) -> float:
        """Seconds the client has left a message unread; 0 while it reads."""
        return now - self._sent_at if self._sends else 0.0

    def abort(self, error: SpeechError) -> None:
        """End the session from outside, with that error's close code."""
        self._goodbye = error
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send something that belongs to no context, unless the client is not reading."""
        if self._tasks is not None and self._engine is not None and not self._sends:
            self._tasks.start_soon(self._say, message)

    async def run(self) -> None:
        """Serve until the client leaves or is sent away."""
        try:
            async with anyio.create_task_group() as self._tasks:
                if await self._welcome():
                    await self._read()
                self._tasks.cancel_scope.cancel()
        except* OSError:
            pass  # The client is gone; its contexts ended with the task group.
        except* Exception as group:
            log.error("session failed", errors=[type(error).__name__ for error in group.exceptions])
            log.debug("session failed here", exc_info=group)
            self._goodbye = InternalError("Something went wrong here; it has been noted.")
        self._tasks = None
        if self._goodbye is not None:
            await self._close(self._goodbye)

    async def _welcome(self) -> bool:
        """Check who it is, tell what there is; False if the client may not stay."""
        event = await self._receive()
        if event["type"] != "websocket.connect":
            return False
        await self._raw_send({"type": "websocket.accept"})
        if not self._authorized and not await self._authenticate():
            return False
        self._engine = await self._parts.pool.engine()
        await self._say(self._ready(self._engine))
        return True

    async def _authenticate(self) -> bool:
        with anyio.move_on_after(self._settings.auth_timeout_s):
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                return False
            try:
                message = read(event.get("text") or "")
                self._parts.guard.check_key(message.key if isinstance(message, Auth) else None)
            except SpeechError:
                return await self._send_away(Unauthorized("The first message must carry a valid key."))
            return True
        return await self._send_away(Unauthorized("No key came in time."))

    async def _send_away(self, error: SpeechError) -> bool:
        await self._report(error)
        self._goodbye = error
        return False

    def _ready(self, engine: EngineInfo) -> dict[str, Any]:
        settings = self._settings
        return {
            "type": "ready",
            "protocol": PROTOCOL,
            "engine": engine.name,
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
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                return
            raw = event.get("text")
            try:
                self._rate.count()
                if raw is None:
                    raise BadMessage("Messages to the server are JSON text, not binary.")
                await self._obey(self._understand(raw))
            except RateLimited as error:
                await self._send_away(error)
                return
            except SpeechError as error:
                log.info("message refused", code=error.code, size=len(raw or event.get("bytes") or ""))
                await self._report(error)

    def _understand(self, raw: str) -> Message:
        try:
            return read(raw)
        except SpeechError as error:
            name = context_of(raw)
            if name is not None and name not in self._turns:
                self._note_failed(name)
                error.context = name
            raise

    async def _obey(self, message: Message) -> None:
        match message:
            case Text(context=name, text=text):
                self._append(name, text)
            case Start():
                self._start(message)
            case Speak(context=name, text=text):
                turn = self._start(message)
                self._guarded(turn, text)
                turn.context.finish()
            case Flush(context=name):
                if not self._swallowed(name, ends=False):
                    self._turn(name).context.flush()
            case Finish(context=name):
                if not self._swallowed(name, ends=True):
                    self._finish(self._turn(name))
            case CancelSpeech(context=name):
                self._cancel(name)
            case Played(context=name, samples=samples):
                self._played(name, samples)
            case Ping(id=ping):
                await self._say({"type": "pong", "id": ping})
            case Auth():
                pass  # Said again, or without need.

    def _append(self, name: str, text: str) -> None:
        if not self._swallowed(name, ends=False):
            turn = self._turns.get(name) or self._start(Start(type="start", context=name))
            self._guarded(turn, text)

    def _guarded(self, turn: Turn, text: str) -> None:
        """Append; what the text itself does wrong ends its context."""
        try:
            if "\0" in text:
                raise BadValue("text: a NUL character cannot be spoken.")
            if len(text) > self._settings.max_text_characters:
                raise TooLarge(f"text: at most {self._settings.max_text_characters} characters a message.")
            turn.context.append(text)
        except (BadValue, TooLarge) as error:
            turn.context.fail(error.code, error.message, error.retryable)
        if self._settings.show_prompts:
            log.info("text", context=turn.name, text=text)

    def _finish(self, turn: Turn) -> None:
        try:
            turn.context.finish()
        except BadValue as error:
            turn.context.fail(error.code, error.message, error.retryable)

    def _start(self, options: Start | Speak) -> Turn:
        """Open a context. Raises DuplicateContext, or what is wrong with its options."""
        name = options.context
        if name in self._turns:
            raise DuplicateContext(f"The context {name!r} is open already; its options stay as they are.")
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
        assert self._tasks is not None
        self._tasks.start_soon(self._pump, turn)
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
            raise UnknownContext(f"No context {name!r} is open.") from None

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
        if name in self._failed:
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
            await self._say(self._started(turn))
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
                await self._say(self._sentence(turn, output))
            case WordTimes():
                if turn.options.words:
                    await self._say(self._words(turn, output))
            case Flushed():
                await self._say({"type": "flushed", "context": turn.name})
            case Done(metrics):
                log.info("context done", context=turn.name, **asdict(metrics))
                await self._say({"type": "done", "context": turn.name, "metrics": asdict(metrics)})
            case Cancelled():
                await self._say({"type": "cancelled", "context": turn.name, **asdict(output)})
            case Broken(code, message, retryable):
                log.warning("context failed", context=turn.name, code=code)
                await self._say(_error(code, message, retryable, turn.name))

    async def _put_frames(self, turn: Turn, frames: list[Frame]) -> None:
        if not frames or turn.context.stopped:
            return
        messages = []
        for frame in frames:
            header = FRAME_HEADER.pack(AUDIO, 0, turn.handle, turn.sequence, frame.first_sample)
            messages.append(header + frame.data)
            turn.sequence += 1
        self._parts.metrics.audio.inc(sum(frame.samples for frame in frames) / turn.sample_rate)
        await self._send({"type": FRAMES, "frames": messages})

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
        await self._say(_error(error.code, error.message, error.retryable, error.context))

    async def _say(self, message: Mapping[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": orjson.dumps(message).decode()})

    async def _send(self, event: dict[str, Any]) -> None:
        """Send, remembering for the watch since when the client has not read."""
        if not self._sends:
            self._sent_at = time.monotonic()
        self._sends += 1
        try:
            await self._raw_send(event)
            self._sent_at = time.monotonic()
        finally:
            self._sends -= 1

    async def _close(self, error: SpeechError) -> None:
        """Close with the error's code; a client that does not read is left to the socket's own timeout."""
        with anyio.move_on_after(1.0):
            try:
                await self._raw_send(
                    {"type": "websocket.close", "code": error.close_code, "reason": error.message}
                )
            except OSError:
                return


def _error(code: str, message: str, retryable: bool, context: str | None) -> dict[str, Any]:
    about = {} if context is None else {"context": context}
    return {"type": "error", **about, "code": code, "message": message, "retryable": retryable}
