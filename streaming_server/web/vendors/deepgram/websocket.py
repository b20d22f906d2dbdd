"""Deepgram's websocket, `/v1/speak`: JSON in, binary audio out, no contexts."""

from __future__ import annotations

import re
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field
from starlette.requests import HTTPConnection

from streaming_server.audio.frames import Frame, FrameEncoder
from streaming_server.context import Broken, End
from streaming_server.errors import BadMessage, SpeechError, UnknownVoice, error_of
from streaming_server.types import DEFAULT_VOICE, Encoding, Generation
from streaming_server.web.native.messages import SampleRate
from streaming_server.web.services import Parts
from streaming_server.web.validation import validated, validated_query
from streaming_server.web.vendors.http_door import status_of
from streaming_server.web.vendors.model import Model
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Door, Refusal
from streaming_server.web.websocket.session import Session
from streaming_server.web.websocket.turn import Turn

ENCODINGS: dict[str, Encoding] = {"linear16": "pcm_s16le", "mulaw": "mulaw", "alaw": "alaw"}

_AURA = re.compile(r"aura(?:-\d+)?-([a-z]+)-[a-z]{2}")
"""The vendor's own names of models, a voice and a language."""


class Query(Model):
    """What of the handshake's query means something here. sample_rate in Hz; by default as the vendor's."""

    model: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=128)
    encoding: Literal["linear16", "mulaw", "alaw"] = "linear16"
    container: Literal["none"] = "none"
    sample_rate: int | None = None
    speed: float | None = Field(None, ge=0.25, le=4.0)


class _Rate(Model):
    sample_rate: SampleRate


class SpeakText(Model):
    text: str


@dataclass(frozen=True, slots=True)
class Manner:
    """How one connection speaks. warning: what to tell the client once it is in, if anything."""

    model: str
    voice: str
    encoding: Encoding
    sample_rate: int
    generation: Generation
    warning: str | None


class DeepgramSession(Session[Turn]):
    """One client. All text between moments of silence is one turn: each lasts until every flush is answered
    and nothing came after the last."""

    def __init__(self, parts: Parts, connection: Connection, manner: Manner, subprotocol: str | None) -> None:
        super().__init__(parts, connection, subprotocol)
        self._manner = manner
        self._turn: Turn | None = None
        self._latest: Turn | None = None
        self._swallows = False
        self._flushed = 0
        self._cleared = 0

    async def greet(self) -> bool:
        await self.connection.say(
            {
                "type": "Metadata",
                "request_id": str(uuid.uuid4()),
                "model_name": self._manner.model,
                "model_version": "1",
                "model_uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, self._manner.voice)),
            }
        )
        if self._manner.warning is not None:
            await self._warn("UNKNOWN_MODEL", self._manner.warning)
        return True

    async def obey(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "Speak":
                await self._speak(validated(SpeakText, message).text)
            case "Flush":
                await self._flush()
            case "Clear":
                await self._clear()
            case "Close":
                self._close()
            case _:
                raise BadMessage("one of Speak, Flush, Clear, Close.", field="type")

    async def _speak(self, text: str) -> None:
        """More text. Where there can be no turn for it, the rest up to the next flush is passed over."""
        if self._swallows:
            return
        try:
            turn = self._turn or self._begin()
        except SpeechError as error:
            self._swallows = True
            await self._tell(error)
            return
        with turn.blamed():
            turn.append(text)

    def _begin(self) -> Turn:
        self.check_space()
        manner = self._manner
        self._turn = turn = Turn(
            None,
            self.parts.contexts.open(self.engine, manner.voice, manner.generation),
            FrameEncoder(self.engine.sample_rate, manner.sample_rate, manner.encoding),
            manner.sample_rate,
            joining="likely",
            max_text=self.parts.settings.max_text_characters,
            before=self._latest,
        )
        self._latest = turn
        self.start(turn)
        return turn

    async def _flush(self) -> None:
        """Each is answered once, whatever became of its text; without any, at once."""
        turn = self._turn
        if self._swallows or turn is None:
            self._swallows = False
            await self._say_flushed()
            return
        with turn.blamed():
            turn.flush()

    def _close(self) -> None:
        """Hear out what was flushed, drop the rest, and hang up.

        The vendor's own examples flush and close at once, and then listen.
        """
        self.close_when_quiet()
        if self._turn is not None and not self._turn.flushes:
            self._turn.context.cancel()

    async def _clear(self) -> None:
        """Drop all that was not sent, its flushes too. Nothing of it follows the answer."""
        self._swallows = False
        for turn in list(self._turns):
            turn.context.cancel()
        for turn in list(self._turns):
            await turn.gone.wait()
        await self.connection.say({"type": "Cleared", "sequence_id": self._cleared})
        self._cleared += 1

    def forget(self, turn: Turn) -> None:
        if self._turn is turn:
            self._turn = None
        if self._latest is turn:
            self._latest = None

    async def sound(self, turn: Turn, frames: list[Frame]) -> None:
        await self.connection.send_frames([bytes(frame.data) for frame in frames])

    async def flushed(self, turn: Turn) -> None:
        if turn.context.stopped:
            return
        if not turn.flushes and not turn.unflushed:
            turn.context.finish()
            if self._turn is turn:
                self._turn = None
        await self._say_flushed()
        if not turn.flushes and self.closing:
            turn.context.cancel()

    async def ended(self, turn: Turn, end: End) -> None:
        if isinstance(end, Broken):
            self._swallows = turn.unflushed
            await self._tell(error_of(end.code)(end.message))
            for _ in turn.flushes:
                await self._say_flushed()

    async def report(self, error: SpeechError) -> None:
        """A message that means nothing is passed over, with a warning."""
        await self._warn(error.code, error.message)

    async def _tell(self, error: SpeechError) -> None:
        await self.connection.say({"type": "Error", **_described(error.code, error.message)})

    async def _say_flushed(self) -> None:
        sequence, self._flushed = self._flushed, self._flushed + 1
        await self.connection.say({"type": "Flushed", "sequence_id": sequence})

    async def _warn(self, code: str, message: str) -> None:
        await self.connection.say({"type": "Warning", **_described(code, message)})


def _described(code: str, message: str) -> dict[str, str]:
    return {"code": code.upper(), "description": message, "warn_msg": message}


def _token(request: HTTPConnection) -> str | None:
    """The second of the subprotocols that a browser offers: what it says instead of a header."""
    offered = [part.strip() for part in request.headers.get("sec-websocket-protocol", "").split(",")]
    return offered[1] if len(offered) == 2 and offered[0].lower() in ("token", "bearer") else None


def key_in(request: HTTPConnection) -> str | None:
    """Deepgram's own places of a key."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "token" and credentials:
        return credentials.strip()
    return _token(request)


def _begin(
    request: HTTPConnection, parts: Parts, connection: Connection, place: ExitStack | None
) -> DeepgramSession:
    offered = request.headers.get("sec-websocket-protocol", "").partition(",")[0].strip()
    return DeepgramSession(parts, connection, _manner(request, parts), offered or None)


def _manner(request: HTTPConnection, parts: Parts) -> Manner:
    """Raises BadValue, UnknownVoice."""
    query = validated_query(Query, request.query_params)
    sample_rate = query.sample_rate or (24000 if query.encoding == "linear16" else 8000)
    validated(_Rate, {"sample_rate": sample_rate})
    voice, warning = voice_of(parts, query.model)
    generation = Generation(speed=query.speed)
    return Manner(query.model, voice, ENCODINGS[query.encoding], sample_rate, generation, warning)


def voice_of(parts: Parts, model: str) -> tuple[str, str | None]:
    """The voice of a model, and what to warn of. One of the vendor's own speaks as the default voice, unless
    there is one of its name: clients have such a model set where nobody chose. Raises UnknownVoice."""
    names = [model] + ([aura[1]] if (aura := _AURA.fullmatch(model)) else [])
    for name in names:
        try:
            parts.catalogue.find(name)
        except UnknownVoice:
            continue
        return name, None
    if aura is None:
        raise UnknownVoice("no voice has this id.", field="model")
    return DEFAULT_VOICE.id, f"model: there is no such voice here; {DEFAULT_VOICE.id} speaks."


def described(error: SpeechError) -> dict[str, str]:
    """An error as it is told over HTTP."""
    return {"err_code": error.code.upper(), "err_msg": error.message, "request_id": str(uuid.uuid4())}


def _refusal(error: SpeechError) -> Refusal:
    return Refusal(described(error), {"dg-error": error.message}, status_of(error, as_400=True))


speak_websocket = Door(key_in, _begin, _refusal)
"""The ASGI endpoint."""
