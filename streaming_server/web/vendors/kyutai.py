"""Kyutai's websocket, `/api/tts_streaming`, as unmute speaks it: MessagePack, one turn of speech each."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Literal

import msgpack
from pydantic import Field
from starlette.requests import HTTPConnection, Request
from starlette.routing import Route

from streaming_server.audio.frames import Frame, FrameEncoder
from streaming_server.context import Broken, End, WordTime
from streaming_server.errors import BadMessage, SpeechError, Unavailable, UnknownVoice, error_of
from streaming_server.types import DEFAULT_VOICE, Generation
from streaming_server.web.openapi.operation import operation
from streaming_server.web.responses import Json
from streaming_server.web.services import Parts
from streaming_server.web.validation import validated, validated_query
from streaming_server.web.vendors.model import Model
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Door, Refusal
from streaming_server.web.websocket.session import Session
from streaming_server.web.websocket.turn import Turn

SAMPLE_RATE = 24000
"""Hz, of all audio."""
FRAME_SAMPLES = 1920
"""Of every message of audio, 80 ms: players are made for just so many."""

FRAME_BYTES = 4 * FRAME_SAMPLES
"""Of a frame as 32-bit floats."""
FLOAT_32 = 0xCA
"""MessagePack's mark of one."""


class Query(Model):
    """What of the handshake's query means something here; `cfg_alpha` is of the vendor's own model."""

    voice: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=256)
    format: Literal["PcmMessagePack"] = "PcmMessagePack"
    seed: int | None = Field(None, ge=0, lt=2**63)
    temperature: float | None = Field(None, ge=0.0, le=2.0)
    top_k: int | None = Field(None, ge=1, le=1028)


class Text(Model):
    text: str


class KyutaiTurn(Turn):
    """rest: audio too short yet for a message, as 32-bit floats."""

    rest: bytes = b""


class KyutaiSession(Session[KyutaiTurn]):
    """One client: `Ready`, its text, its speech, goodbye. After an error the connection is over too."""

    def __init__(self, parts: Parts, connection: Connection, voice: str, generation: Generation) -> None:
        super().__init__(parts, connection)
        self._voice = voice
        self._generation = generation
        self._turn: KyutaiTurn | None = None

    async def greet(self) -> bool:
        await self.connection.send(packed("Ready"))
        return True

    def read(self, raw: str | bytes) -> dict[str, Any]:
        """Besides maps there are bare text, and a bare NUL for the end of it."""
        if isinstance(raw, str):
            return {"type": "Text", "text": raw}
        if raw == b"\0":
            return {"type": "Eos"}
        try:
            message = msgpack.unpackb(raw)
        except (ValueError, RecursionError, OverflowError):
            raise BadMessage("This is not MessagePack.") from None
        if not isinstance(message, dict):
            raise BadMessage("A message is a map.")
        return message

    async def obey(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "Text":
                turn = self._turn or self._begin()
                text = validated(Text, message).text
                with turn.blamed():
                    turn.append(text)
            case "Eos":
                if self._turn is not None:
                    with self._turn.blamed():
                        self._turn.context.finish()
                self.close_when_quiet()
            case "Voice":
                pass  # Numbers of the vendor's own model, which speak here as its own voices do.
            case _:
                raise BadMessage("one of Text, Voice, Eos.", field="type")

    def _begin(self) -> KyutaiTurn:
        self._turn = turn = KyutaiTurn(
            None,
            self.parts.contexts.open(self.engine, self._voice, self._generation),
            FrameEncoder(self.engine.sample_rate, SAMPLE_RATE, "pcm_f32le"),
            SAMPLE_RATE,
            joining="words",
            max_text=self.parts.settings.max_text_characters,
        )
        self.start(turn)
        return turn

    def forget(self, turn: KyutaiTurn) -> None:
        pass  # Another message of text finds it finished.

    async def sound(self, turn: KyutaiTurn, frames: list[Frame]) -> None:
        audio = b"".join((turn.rest, *(frame.data for frame in frames)))
        whole = len(audio) // FRAME_BYTES * FRAME_BYTES
        turn.rest = audio[whole:]
        if whole:
            await self.connection.send_frames(sounding(audio[:whole]))

    async def spoken(self, turn: KyutaiTurn) -> None:
        if turn.rest:
            await self.connection.send_frames(sounding(turn.rest.ljust(FRAME_BYTES, b"\0")))

    async def words(self, turn: KyutaiTurn, times: tuple[WordTime, ...]) -> None:
        told = [
            packed("Text", text=word.text, start_s=_seconds(word.start), stop_s=_seconds(word.end))
            for word in turn.words(times)
        ]
        await self.connection.send_frames(told)

    async def ended(self, turn: KyutaiTurn, end: End) -> None:
        if isinstance(end, Broken):
            await self.send_away(error_of(end.code)(end.message))

    async def report(self, error: SpeechError) -> None:
        await self.connection.send(packed("Error", message=error.message))
        self.hang_up(error)


def packed(kind: str, **fields: Any) -> bytes:
    """A message as it is sent."""
    message: bytes = msgpack.packb({"type": kind, **fields})
    return message


def sounding(audio: bytes) -> list[bytes]:
    """Whole frames of audio, 32-bit floats from -1 to 1, as messages of one frame each.

    The floats are laid out as MessagePack has them, a mark and the number big-endian, all at once: made one
    by one they would cost as much as all the rest that is done for them.
    """
    import numpy as np

    packer = msgpack.Packer()
    words = b"".join(packer.pack(word) for word in ("type", "Audio", "pcm"))
    head = packer.pack_map_header(2) + words + packer.pack_array_header(FRAME_SAMPLES)
    floats = np.empty(len(audio) // 4, dtype=[("mark", "u1"), ("number", ">f4")])
    floats["mark"] = FLOAT_32
    floats["number"] = np.frombuffer(audio, dtype="<f4")
    frames = floats.reshape(-1, FRAME_SAMPLES)
    return [head + frame.tobytes() for frame in frames]


def _seconds(sample: int) -> float:
    return round(sample / SAMPLE_RATE, 4)


def key_in(request: HTTPConnection) -> str | None:
    """Kyutai's own places of a key."""
    return request.headers.get("kyutai-api-key") or request.query_params.get("auth_id")


def voice_of(parts: Parts, name: str) -> str:
    """The voice that speaks for a name. One of the vendor's own, a path of a recording, is spoken by the
    default voice: clients have such a one set where nobody chose. Raises UnknownVoice."""
    try:
        parts.catalogue.find(name)
    except UnknownVoice:
        if "/" not in name:
            raise
        return DEFAULT_VOICE.id
    return name


def _begin(
    request: HTTPConnection, parts: Parts, connection: Connection, place: ExitStack | None
) -> KyutaiSession:
    query = validated_query(Query, request.query_params)
    generation = Generation(seed=query.seed, temperature=query.temperature, top_k=query.top_k)
    return KyutaiSession(parts, connection, voice_of(parts, query.voice), generation)


def _refusal(error: SpeechError) -> Refusal:
    """A full server says so after the handshake: clients then look for another, and tell their user."""
    told = packed("Error", message=error.message) if isinstance(error, Unavailable) else None
    return Refusal({"type": "Error", "message": error.message}, told=told)


tts_streaming = Door(key_in, _begin, _refusal)
"""The ASGI endpoint."""


@operation(
    "Kyutai",
    "Check that the server is there, as unmute does",
    docs="https://github.com/kyutai-labs/unmute",
)
async def build_info(request: Request) -> Json[dict[str, str]]:
    """What unmute asks to know whether the server is there."""
    return Json({"name": "streaming-server"})


def routes() -> list[Route]:
    return [Route("/api/build_info", build_info)]
