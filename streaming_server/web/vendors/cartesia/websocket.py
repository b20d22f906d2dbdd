"""Cartesia's websocket, `/tts/websocket`: contexts, base64 audio, word timestamps."""

from __future__ import annotations

import uuid
from base64 import b64encode
from typing import Any

from pydantic import Field
from starlette.requests import HTTPConnection

from streaming_server.audio.frames import Frame
from streaming_server.context import Done, End, Failure
from streaming_server.errors import SpeechError
from streaming_server.render import TimedWord
from streaming_server.web.services import SpeechServices
from streaming_server.web.validation import validated
from streaming_server.web.vendors.cartesia.fields import (
    CartesiaSpeechFields,
    OutputFormat,
    error_body,
    key_in,
    stream_error,
    word_timestamps,
)
from streaming_server.web.vendors.model import ClientFields
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.decoding import read_name
from streaming_server.web.websocket.handshake import Handshake, Refusal
from streaming_server.web.websocket.named_session import NamedSession
from streaming_server.web.websocket.turn import Turn

CHUNK_MS = 500
"""Longest audio of one message, in milliseconds."""


class TextDelta(ClientFields):
    """More of a context's text."""

    transcript: str = ""
    continue_: bool | None = Field(None, alias="continue")
    flush: bool | None = None


class CartesiaOptions(CartesiaSpeechFields):
    """Options of a context. Clients repeat them with every delta; those of the first count."""

    output_format: OutputFormat
    add_timestamps: bool | None = None
    max_buffer_delay_ms: float | None = None


class CartesiaTurn(Turn):
    """timestamps: whether word times were asked for. flush_id: number of the next flush to acknowledge, from
    1. dropped: the client cancelled it; send nothing more about it.
    """

    timestamps: bool = False
    flush_id: int = 1
    dropped: bool = False


class CartesiaSession(NamedSession[CartesiaTurn]):
    """One client."""

    async def handle(self, message: dict[str, Any]) -> None:
        name = read_name(message, "context_id") or str(uuid.uuid4())
        if message.get("cancel"):
            if (turn := self.open_turns.get(name)) is not None:
                turn.dropped = True  # Clients take whatever follows for the next context's.
            self.clear_failed(name)
            self.cancel(name)
            return
        if self.belongs_to_failed_turn(name, ends=not message.get("continue")):
            return
        try:
            await self._speak(name, message)
        except SpeechError as error:
            if error.context is None and self.awaits_end(name):
                await self._send_warning(error, name)
                return
            error.context = name
            raise

    async def _speak(self, name: str, message: dict[str, Any]) -> None:
        turn = self.open_turns.get(name)
        delta = validated(TextDelta, message)
        if turn is None and not delta.continue_ and (not delta.transcript or delta.transcript.isspace()):
            await self._send_done(name)  # The end of a context that was never begun.
            return
        if turn is None:
            turn = self.begin(name, lambda: self._make(name, message), more=bool(delta.continue_))
        if turn.context.finished and not delta.transcript:
            return  # The end, sent twice.
        turn.more = turn.more and bool(delta.continue_)
        with turn.failing_on_bad_text():
            await turn.append(delta.transcript)
            if delta.flush:
                turn.flush()
            if not delta.continue_:
                turn.finish()
        self.speak_phrase_soon(turn)

    def _make(self, name: str, message: dict[str, Any]) -> CartesiaTurn:
        options = validated(CartesiaOptions, message)
        turn = CartesiaTurn(
            name,
            self.open(options.speech_options(options.output_format.audio, name)),
            max_text=self.max_text,
            joining="sentences" if options.max_buffer_delay_ms == 0 else "verbatim",
            before=self.ending_turns.get(name),
        )
        turn.timestamps = bool(options.add_timestamps)
        return turn

    async def send_audio(self, turn: CartesiaTurn, frames: list[Frame]) -> None:
        most = turn.sample_rate * CHUNK_MS // 1000
        chunk: list[bytes | memoryview] = []
        samples = 0
        for frame in frames:
            if samples + frame.samples > most:
                await self._send_chunk(turn, b"".join(chunk))
                chunk, samples = [], 0
            chunk.append(frame.data)
            samples += frame.samples
        await self._send_chunk(turn, b"".join(chunk))

    async def _send_chunk(self, turn: CartesiaTurn, data: bytes) -> None:
        if not turn.context.stopped:
            await self._send_about(
                turn, "chunk", data=b64encode(data).decode(), step_time=0.0, flush_id=turn.flush_id
            )

    async def send_words(self, turn: CartesiaTurn, words: tuple[TimedWord, ...]) -> None:
        if turn.timestamps and not turn.context.stopped:
            timestamps = word_timestamps(words, turn.sample_rate)
            await self._send_about(turn, "timestamps", word_timestamps=timestamps, flush_id=turn.flush_id)

    async def send_flushed(self, turn: CartesiaTurn, flushes: int) -> None:
        for _ in range(flushes):
            if turn.context.stopped:
                return
            await self._send_about(turn, "flush_done", flush_id=turn.flush_id, flush_done=True)
            turn.flush_id += 1

    async def send_end(self, turn: CartesiaTurn, end: End) -> None:
        assert turn.name is not None
        if turn.dropped:
            return
        if isinstance(end, Failure):
            await self.connection.send_json(stream_error(end.error(), turn.name))
        elif isinstance(end, Done):
            await self._send_done(turn.name)

    async def send_error(self, error: SpeechError) -> None:
        await self.connection.send_json(stream_error(error, error.context))

    async def _send_warning(self, error: SpeechError, name: str) -> None:
        """Warn of a message that was refused while its context goes on.

        Clients take an error with the id of a context for its end, also of the next context with that id.
        They skip messages of a type that they do not know.
        """
        await self.connection.send_json({**stream_error(error, name), "type": "warning"})

    async def _send_done(self, name: str) -> None:
        await self.connection.send_json(
            {"type": "done", "context_id": name, "done": True, "status_code": 200}
        )

    async def _send_about(self, turn: CartesiaTurn, kind: str, **fields: Any) -> None:
        about = {"type": kind, "context_id": turn.name, "done": False, "status_code": 206}
        await self.connection.send_json({**about, **fields})


def _session(request: HTTPConnection, services: SpeechServices, connection: Connection) -> CartesiaSession:
    return CartesiaSession(services, connection)


def _refusal(error: SpeechError) -> Refusal:
    return Refusal({**error_body(error), "status_code": error.http_status, "error": error.message})


tts_websocket = Handshake(_session, _refusal, key_in)
"""The ASGI endpoint of `/tts/websocket`."""
