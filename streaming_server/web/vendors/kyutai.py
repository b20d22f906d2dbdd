"""Kyutai's websocket, `/api/tts_streaming`, as unmute speaks it: MessagePack, one turn of speech each."""

from __future__ import annotations

from typing import Any, Literal

import msgpack
from pydantic import Field
from starlette.requests import HTTPConnection, Request
from starlette.routing import Route

from streaming_server.audio.encoder import AudioOptions
from streaming_server.audio.frames import Frame
from streaming_server.context import Done, End, Failure
from streaming_server.errors import BadMessage, SpeechError, Unavailable
from streaming_server.render import TimedWord
from streaming_server.speech_options import SpeechOptions
from streaming_server.types import DEFAULT_VOICE, Generation
from streaming_server.web.generation_fields import Temperature, TopK
from streaming_server.web.openapi.operation import operation
from streaming_server.web.responses import Json
from streaming_server.web.services import SpeechServices
from streaming_server.web.speech_fields import SpeechFields
from streaming_server.web.validation import validated, validated_query
from streaming_server.web.vendors.model import ClientFields
from streaming_server.web.websocket.connection import Connection
from streaming_server.web.websocket.handshake import Handshake, Refusal
from streaming_server.web.websocket.session import Session
from streaming_server.web.websocket.turn import Turn

SAMPLE_RATE = 24000
"""Hz, of all audio."""
FRAME_SAMPLES = 1920
"""Samples of every audio message, 80 ms; players expect exactly as many."""

FRAME_BYTES = 4 * FRAME_SAMPLES
"""Bytes of a frame as 32-bit floats."""
FLOAT_32 = 0xCA
"""MessagePack's type byte of a 32-bit float."""


class KyutaiHandshakeQuery(ClientFields, SpeechFields):
    """The parameters of the handshake that have a meaning here; `cfg_alpha` belongs to the vendor's model."""

    voice: str = Field(DEFAULT_VOICE.id, min_length=1, max_length=256)
    format: Literal["PcmMessagePack"] = "PcmMessagePack"
    temperature: Temperature | None = None
    top_k: TopK | None = None


class KyutaiText(ClientFields, SpeechFields):
    """A word. The options of the first one count."""

    text: str


class KyutaiTurn(Turn):
    """rest: audio too short yet for a message, as 32-bit floats."""

    rest: bytes = b""


class KyutaiSession(Session[KyutaiTurn]):
    """One client: `Ready`, its text, its speech, and the end. An error ends the connection too."""

    def __init__(self, services: SpeechServices, connection: Connection, options: SpeechOptions) -> None:
        super().__init__(services, connection)
        self._options = options
        self._turn: KyutaiTurn | None = None

    async def greet(self) -> None:
        await self.connection.send(packed("Ready"))

    def decode(self, raw: str | bytes) -> dict[str, Any]:
        """Decode a map. Bare text, and a bare NUL for its end, are understood too."""
        if isinstance(raw, str):
            return {"type": "Text", "text": raw}
        if raw == b"\0":
            return {"type": "Eos"}
        try:
            message = msgpack.unpackb(raw)
        except (ValueError, RecursionError, OverflowError):
            raise BadMessage("The message is not valid MessagePack.") from None
        if not isinstance(message, dict):
            raise BadMessage("A message must be a map.")
        return message

    async def handle(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "Text":
                word = validated(KyutaiText, message)
                turn = self._turn or self._begin(word.over(self._options))
                with turn.failing_on_bad_text():
                    await turn.append(word.text)
            case "Eos":
                if self._turn is not None:
                    with self._turn.failing_on_bad_text():
                        self._turn.finish()
                self.close_when_quiet()
            case "Voice":
                pass  # An embedding for the vendor's own model.
            case _:
                raise BadMessage("must be one of Text, Voice, Eos.", field="type")

    def _begin(self, options: SpeechOptions) -> KyutaiTurn:
        rendering = self.open(options)
        self._turn = turn = KyutaiTurn(None, rendering, max_text=self.max_text, joining="words")
        self.start(turn)
        return turn

    def forget(self, turn: KyutaiTurn) -> None:
        pass  # Text that comes after the end finds the context finished.

    async def send_audio(self, turn: KyutaiTurn, frames: list[Frame]) -> None:
        audio = b"".join((turn.rest, *(frame.data for frame in frames)))
        whole = len(audio) // FRAME_BYTES * FRAME_BYTES
        turn.rest = audio[whole:]
        if whole:
            await self.connection.send_frames(audio_messages(audio[:whole]))

    async def send_words(self, turn: KyutaiTurn, words: tuple[TimedWord, ...]) -> None:
        await self.connection.send_frames(
            [
                packed(
                    "Text",
                    text=word.written,
                    start_s=_seconds(word.first_sample),
                    stop_s=_seconds(word.end_sample),
                )
                for word in words
            ]
        )

    async def send_end(self, turn: KyutaiTurn, end: End) -> None:
        if isinstance(end, Failure):
            await self.disconnect(end.error())
        elif isinstance(end, Done) and turn.rest:
            await self.connection.send_frames(audio_messages(turn.rest.ljust(FRAME_BYTES, b"\0")))

    async def send_error(self, error: SpeechError) -> None:
        await self.connection.send(packed("Error", message=error.message))
        self.hang_up(error)


def packed(kind: str, **fields: Any) -> bytes:
    """Encode a message."""
    message: bytes = msgpack.packb({"type": kind, **fields})
    return message


def audio_messages(audio: bytes) -> list[bytes]:
    """Encode whole frames of audio, 32-bit floats from -1 to 1, as messages of one frame each.

    numpy lays out all floats at once, each a type byte and a big-endian number: packing them one by one would
    cost as much as all other work for them.
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
    """Return the key from the places where Kyutai's clients put it."""
    return request.headers.get("kyutai-api-key") or request.query_params.get("auth_id")


def voice_of(services: SpeechServices, name: str) -> str:
    """Return the id of the voice for a name. Raise UnknownVoice.

    The default voice stands in for a name of the vendor's, the path of a recording: clients send one where
    nobody chose.
    """
    return services.catalogue.choose(name, substitute="/" in name).voice.id


def _session(request: HTTPConnection, services: SpeechServices, connection: Connection) -> KyutaiSession:
    query = validated_query(KyutaiHandshakeQuery, request.query_params)
    options = SpeechOptions(
        voice_of(services, query.voice),
        Generation(temperature=query.temperature, top_k=query.top_k),
        AudioOptions(SAMPLE_RATE, "pcm_f32le"),
        door="kyutai",
    )
    return KyutaiSession(services, connection, query.over(options))


def _refusal(error: SpeechError) -> Refusal:
    """Return an error as the protocol tells it.

    A full server accepts the client to tell it: clients then look for another server, and tell their user.
    """
    return Refusal(
        {"type": "Error", "message": error.message},
        message=packed("Error", message=error.message),
        accepts=isinstance(error, Unavailable),
    )


tts_streaming = Handshake(_session, _refusal, key_in)
"""The ASGI endpoint of `/api/tts_streaming`."""


@operation(
    "Kyutai",
    "Check that the server is there, as unmute does",
    docs="https://github.com/kyutai-labs/unmute",
)
async def build_info(request: Request) -> Json[dict[str, str]]:
    """Answer unmute's check of whether the server is there."""
    return Json({"name": "streaming-server"})


def routes() -> list[Route]:
    return [Route("/api/build_info", build_info)]
