"""The native websocket, `/ws/speak`: JSON in, JSON and binary audio out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from anyio.abc import TaskStatus
from starlette.requests import HTTPConnection

from streaming_server.audio.encoder import AudioOptions
from streaming_server.audio.frames import AUDIO_KIND, FRAME_HEADER, Frame
from streaming_server.context import Cancelled, Done, End, Failure
from streaming_server.errors import BadMessage, BadValue, DuplicateContext, SpeechError, UnknownContext
from streaming_server.pool.pool import PressureChanged
from streaming_server.render import Rendering, SentenceMark, TimedWord
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import ENCODINGS, SAMPLE_RATES
from streaming_server.web.native.messages import (
    AuthMessage,
    CancelMessage,
    FinishMessage,
    FlushMessage,
    Message,
    OpeningMessage,
    PingMessage,
    PlayedMessage,
    SpeakMessage,
    StartMessage,
    TextMessage,
    address_of,
    read,
)
from streaming_server.web.native.pool_changes import message_of, pressures
from streaming_server.web.services import SpeechServices
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Handshake, Refusal
from streaming_server.web.websocket.named_session import NamedSession
from streaming_server.web.websocket.turn import Turn

PROTOCOL = 1
EVERY_CONTEXT = "*"
HANDLES = 1 << 16


class NativeTurn(Turn):
    """A turn with its handle, the number that frames carry instead of its name."""

    def __init__(
        self, name: str, rendering: Rendering, options: OpeningMessage, handle: int, **common: Any
    ) -> None:
        super().__init__(name, rendering, **common)
        self.options = options
        self.handle = handle
        self.sequence = 0


class NativeSession(NamedSession[NativeTurn]):
    """One client of the native protocol."""

    waits = False

    def __init__(self, services: SpeechServices, connection: Connection) -> None:
        super().__init__(services, connection)
        self._handles: set[int] = set()
        self._next_handle = 0

    async def greet(self) -> None:
        await self.connection.send_json(self._ready())
        await self.connection.tasks.start(self._send_pressures)

    async def _send_pressures(self, *, task_status: TaskStatus[None]) -> None:
        """Send which devices are short of memory, now and whenever that changes."""
        with self.services.pool.watch() as changes:
            for change in pressures(self.services.pool):
                await self.connection.send_json(message_of(change))
            task_status.started()
            async for each in changes:
                if isinstance(each, PressureChanged):
                    await self.connection.send_json(message_of(each))

    def _ready(self) -> dict[str, Any]:
        settings, engine = self.services.settings, self.engine
        return {
            "type": "ready",
            "protocol": PROTOCOL,
            "engine": engine.name,
            "notice": engine.notice,
            "cost": engine.cost,
            "options": sorted(engine.uses | {"speed"}),
            "sample_rate": engine.sample_rate,
            "sample_rates": SAMPLE_RATES,
            "encodings": ENCODINGS,
            "voices": [
                {"id": voice.id, "name": voice.name, "style": voice.style}
                for voice in self.services.catalogue.voices
            ],
            "languages": engine.languages,
            "limits": {
                "contexts": settings.max_contexts,
                "parallel_contexts": min(settings.max_contexts, self.services.pool.slots),
                "message_bytes": settings.max_message_bytes,
                "text_characters": settings.max_text_characters,
                "context_characters": settings.max_context_characters,
                "messages_per_second": settings.messages_per_second,
                "max_lead_ms": settings.max_lead_ms,
            },
        }

    # Reading.

    def decode(self, raw: str | bytes) -> Message:
        """Decode a message. One that cannot be read, and was to open a context, opens it as failed."""
        if isinstance(raw, bytes):
            raise BadMessage("Messages to the server must be JSON text, not binary.")
        try:
            return read(raw)
        except SpeechError as error:
            kind, name = address_of(raw)
            if name is not None and name not in self.open_turns:
                if kind != "speak":  # The rest of a turn follows; `speak` is the whole of one.
                    self.note_failed(name)
                error.context = name
            raise

    async def handle(self, message: Message) -> None:
        match message:
            case TextMessage(context=name, text=text):
                if not self.belongs_to_failed_turn(name, ends=False):
                    turn = self.open_turns.get(name) or self._start(StartMessage(type="start", context=name))
                    with turn.failing_on_bad_text():
                        await turn.append(text)
            case StartMessage():
                self._start(message)
            case SpeakMessage(text=text):
                turn = self._start(message)
                with turn.failing_on_bad_text():
                    await turn.append(text)
                with turn.failing_on_bad_text():
                    turn.finish()
            case FlushMessage(context=name):
                if not self.belongs_to_failed_turn(name, ends=False):
                    turn = self._turn(name)
                    with turn.failing_on_bad_text():
                        turn.flush()
            case FinishMessage(context=name):
                if not self.belongs_to_failed_turn(name, ends=True):
                    turn = self._turn(name)
                    with turn.failing_on_bad_text():
                        turn.finish()
            case CancelMessage(context=name):
                self._cancel(name)
            case PlayedMessage(context=name, samples=samples):
                if (playing := self.open_turns.get(name)) is not None:
                    playing.rendering.played(samples)
            case PingMessage(id=ping):
                await self.connection.send_json({"type": "pong", "id": ping})
            case AuthMessage():
                pass  # Sent again, or where no key is needed.

    def _start(self, options: StartMessage | SpeakMessage) -> NativeTurn:
        """Open a context. Raise DuplicateContext, or what is wrong with its options."""
        name = options.context
        if name in self.open_turns:
            raise DuplicateContext("A context of this name is open; its options stay as they are.")
        self.clear_failed(name)
        more = isinstance(options, StartMessage)  # The rest of a turn follows; `speak` is the whole of one.
        return self.begin(name, lambda: self._make(name, options), more=more)

    def _make(self, name: str, options: OpeningMessage) -> NativeTurn:
        if name == EVERY_CONTEXT:
            raise BadValue('"*" stands for every context and cannot name one.', field="context")
        rendering = self.open(
            options.over(
                SpeechOptions(
                    options.voice,
                    options.generation,
                    AudioOptions(options.sample_rate, options.encoding),
                    options.max_lead_ms,
                    name=name,
                )
            )
        )
        return NativeTurn(
            name,
            rendering,
            options,
            self._take_handle(),
            max_text=self.max_text,
            before=self.ending_turns.get(name),
        )

    def _turn(self, name: str) -> NativeTurn:
        try:
            return self.open_turns[name]
        except KeyError:
            raise UnknownContext("No context of this name is open.") from None

    def _cancel(self, name: str) -> None:
        if name == EVERY_CONTEXT:
            for each in list(self.open_turns):
                self.cancel(each)
            self.clear_failed()
        else:
            self.cancel(name)
            self.clear_failed(name)

    def _take_handle(self) -> int:
        while self._next_handle in self._handles:
            self._next_handle = (self._next_handle + 1) % HANDLES
        handle = self._next_handle
        self._handles.add(handle)
        self._next_handle = (handle + 1) % HANDLES
        return handle

    def forget(self, turn: NativeTurn) -> None:
        super().forget(turn)
        self._handles.discard(turn.handle)

    # Writing.

    async def send_start(self, turn: NativeTurn) -> None:
        await self.connection.send_json(
            {
                "type": "started",
                "context": turn.name,
                "handle": turn.handle,
                "voice": turn.rendering.voice,
                "sample_rate": turn.sample_rate,
                "encoding": turn.options.encoding,
                "channels": 1,
                "ignored": turn.options.ignored(self.engine),
            }
        )

    async def send_audio(self, turn: NativeTurn, frames: list[Frame]) -> None:
        messages = []
        for frame in frames:
            header = FRAME_HEADER.pack(AUDIO_KIND, 0, turn.handle, turn.sequence, frame.first_sample)
            messages.append(header + frame.data)
            turn.sequence += 1
        await self.connection.send_frames(messages)

    async def send_sentence(self, turn: NativeTurn, sentence: SentenceMark) -> None:
        await self.connection.send_json({"type": "sentence", "context": turn.name, **asdict(sentence)})

    async def send_words(self, turn: NativeTurn, words: tuple[TimedWord, ...]) -> None:
        if turn.options.words:
            entries = [_word(word, turn.sample_rate) for word in words]
            await self.connection.send_json({"type": "words", "context": turn.name, "words": entries})

    async def send_flushed(self, turn: NativeTurn, flushes: int) -> None:
        await self.connection.send_json({"type": "flushed", "context": turn.name})

    async def send_end(self, turn: NativeTurn, end: End) -> None:
        match end:
            case Done(metrics):
                await self.connection.send_json(
                    {"type": "done", "context": turn.name, "metrics": asdict(metrics)}
                )
            case Cancelled():
                await self.connection.send_json({"type": "cancelled", "context": turn.name, **asdict(end)})
            case Failure(code, message, retryable):
                await self.connection.send_json(error_message(code, message, retryable, turn.name))

    async def send_error(self, error: SpeechError) -> None:
        await self.connection.send_json(
            error_message(error.code, error.message, error.retryable, error.context)
        )


def _word(word: TimedWord, sample_rate: int) -> dict[str, Any]:
    entry = {
        "text": word.text,
        "start": word.start,
        "end": word.end,
        "start_ms": round(1000 * word.first_sample / sample_rate, 1),
        "end_ms": round(1000 * word.end_sample / sample_rate, 1),
    }
    return {**entry, "estimated": True} if word.estimated else entry


def error_message(code: str, message: str, retryable: bool, context: str | None = None) -> dict[str, Any]:
    about = {} if context is None else {"context": context}
    return {"type": "error", **about, "code": code, "message": message, "retryable": retryable}


def key_in(raw: str | bytes) -> str | None:
    """Return the key of an `auth` message."""
    message = read(raw if isinstance(raw, str) else raw.decode(errors="replace"))
    return message.key if isinstance(message, AuthMessage) else None


def refusal(error: SpeechError) -> Refusal:
    """Return an error as the native protocol tells it."""
    return Refusal(
        {"error": {"code": error.code, "message": error.message}},
        message=orjson.dumps(error_message(error.code, error.message, error.retryable)).decode(),
    )


def _session(request: HTTPConnection, services: SpeechServices, connection: Connection) -> NativeSession:
    return NativeSession(services, connection)


speak = Handshake(_session, refusal, late_key=key_in)
"""The ASGI endpoint of `/ws/speak`."""
