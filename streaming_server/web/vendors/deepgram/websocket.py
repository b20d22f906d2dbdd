"""Deepgram's websocket, `/v1/speak`: JSON in, binary audio out, no contexts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import HTTPConnection

from streaming_server.audio.encoder import AudioOptions
from streaming_server.audio.frames import Frame
from streaming_server.context import End, Failure
from streaming_server.errors import BadMessage, SpeechError
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import DEFAULT_VOICE
from streaming_server.web.audio_fields import any_case
from streaming_server.web.services import SpeechServices
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.validation import validated, validated_query
from streaming_server.web.vendors.deepgram.fields import (
    BAD_VALUE_STATUS,
    ENCODINGS,
    error_body,
    key_in,
    rate_of,
    voice_of,
)
from streaming_server.web.vendors.http_door import status_of
from streaming_server.web.vendors.model import ClientFields
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Handshake, Refusal
from streaming_server.web.websocket.session import Session
from streaming_server.web.websocket.turn import Turn


class DeepgramHandshakeQuery(ClientFields, SpeechFields):
    """The parameters of the handshake that have a meaning here. sample_rate: Hz; the vendor's by default."""

    model: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=128)
    encoding: Annotated[Literal["linear16", "mulaw", "alaw"], any_case] = "linear16"
    container: Annotated[Literal["none"], any_case] = "none"
    sample_rate: int | None = None


class SpeakText(ClientFields, SpeechFields):
    """More text. The options of a turn's first one count, and take precedence over the connection's."""

    text: str


@dataclass(frozen=True, slots=True)
class DeepgramOptions:
    """Options of a connection. warning: sent once the client is accepted, if set."""

    model: str
    speech: SpeechOptions
    warning: str | None


class DeepgramSession(Session[Turn]):
    """One client. All text between moments of silence is one turn: it lasts until every flush is answered and
    no text came after the last."""

    def __init__(self, services: SpeechServices, connection: Connection, options: DeepgramOptions) -> None:
        super().__init__(services, connection)
        self._options = options
        self._turn: Turn | None = None
        self._latest: Turn | None = None
        self._swallows = False
        self._flushed = 0
        self._cleared = 0

    async def greet(self) -> None:
        await self.connection.send_json(
            {
                "type": "Metadata",
                "request_id": str(uuid.uuid4()),
                "model_name": self._options.model,
                "model_version": "1",
                "model_uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, self._options.speech.voice)),
            }
        )
        if self._options.warning is not None:
            await self._send_warning("UNKNOWN_MODEL", self._options.warning)

    async def handle(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "Speak":
                await self._speak(validated(SpeakText, message))
            case "Flush":
                await self._flush()
            case "Clear":
                await self._clear()
            case "Close":
                self._close()
            case _:
                raise BadMessage("must be one of Speak, Flush, Clear, Close.", field="type")

    async def _speak(self, more: SpeakText) -> None:
        """Append text. If no turn can be opened for it, swallow the rest up to the next flush."""
        if self._swallows:
            return
        try:
            turn = self._turn or self._begin(more.over(self._options.speech))
        except SpeechError as error:
            self._swallows = True
            await self._send_failure(error)
            return
        with turn.failing_on_bad_text():
            await turn.append(more.text)

    def _begin(self, options: SpeechOptions) -> Turn:
        rendering = self.open(options)
        self._turn = self._latest = turn = Turn(
            None, rendering, max_text=self.max_text, joining="likely", before=self._latest
        )
        self.start(turn)
        return turn

    async def _flush(self) -> None:
        """Answer every flush once, whatever became of its text; with no text, at once."""
        turn = self._turn
        if self._swallows or turn is None:
            self._swallows = False
            await self._send_flushed()
            return
        with turn.failing_on_bad_text():
            turn.flush()
        if turn.context.stopped:  # The error, which is sent first, does not answer this flush.
            await turn.end_sent.wait()
            self._swallows = False
            await self._send_flushed()

    def _close(self) -> None:
        """Speak flushed text, drop the rest, and close the connection.

        The vendor's own examples flush and close at once, and then listen.
        """
        self.close_when_quiet()
        if self._turn is not None and not self._turn.context.pending_flushes:
            self._turn.context.cancel()

    async def _clear(self) -> None:
        """Drop all that was not sent, and its flushes. Nothing of it follows the answer."""
        self._swallows = False
        for turn in list(self._turns):
            turn.context.cancel()
        for turn in list(self._turns):
            await turn.end_sent.wait()
        await self.connection.send_json({"type": "Cleared", "sequence_id": self._cleared})
        self._cleared += 1

    def forget(self, turn: Turn) -> None:
        if self._turn is turn:
            self._turn = None
        if self._latest is turn:
            self._latest = None

    async def send_audio(self, turn: Turn, frames: list[Frame]) -> None:
        await self.connection.send_frames([bytes(frame.data) for frame in frames])

    async def send_flushed(self, turn: Turn, flushes: int) -> None:
        if turn.context.stopped:
            return
        if not turn.context.pending_flushes and not turn.unflushed:
            turn.context.finish()
            if self._turn is turn:
                self._turn = None
        for _ in range(flushes):
            await self._send_flushed()
        if not turn.context.pending_flushes and self.closing:
            turn.context.cancel()

    async def send_end(self, turn: Turn, end: End) -> None:
        if isinstance(end, Failure):
            self._swallows = turn.unflushed
            await self._send_failure(end.error())
            for _ in range(turn.context.pending_flushes):
                await self._send_flushed()

    async def send_error(self, error: SpeechError) -> None:
        """Warn of a message that was refused; nothing else changes."""
        await self._send_warning(error.code, error.message)

    async def _send_failure(self, error: SpeechError) -> None:
        await self.connection.send_json({"type": "Error", **_websocket_error(error.code, error.message)})

    async def _send_flushed(self) -> None:
        sequence, self._flushed = self._flushed, self._flushed + 1
        await self.connection.send_json({"type": "Flushed", "sequence_id": sequence})

    async def _send_warning(self, code: str, message: str) -> None:
        await self.connection.send_json({"type": "Warning", **_websocket_error(code, message)})


def _websocket_error(code: str, message: str) -> dict[str, str]:
    return {"code": code.upper(), "description": message, "warn_msg": message}


def _subprotocol(request: HTTPConnection) -> str | None:
    return request.headers.get("sec-websocket-protocol", "").partition(",")[0].strip() or None


def _session(request: HTTPConnection, services: SpeechServices, connection: Connection) -> DeepgramSession:
    return DeepgramSession(services, connection, _options(request, services))


def _options(request: HTTPConnection, services: SpeechServices) -> DeepgramOptions:
    """Raise BadValue, UnknownVoice."""
    query = validated_query(DeepgramHandshakeQuery, request.query_params)
    voice, warning = voice_of(services, query.model)
    audio = AudioOptions(rate_of(query.encoding, query.sample_rate), ENCODINGS[query.encoding])
    options = SpeechOptions(voice, audio=audio, door="deepgram")
    return DeepgramOptions(query.model, query.over(options), warning)


def _refusal(error: SpeechError) -> Refusal:
    return Refusal(error_body(error), {"dg-error": error.message}, status_of(error, BAD_VALUE_STATUS))


speak_websocket = Handshake(_session, _refusal, key_in, subprotocol=_subprotocol)
"""The ASGI endpoint of `/v1/speak`."""
