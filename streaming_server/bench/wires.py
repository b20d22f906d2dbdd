"""The protocols of the load generator: encode the messages of a turn, decode the server's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64decode
from typing import Any, ClassVar, Literal, Protocol

import msgpack
import orjson

from streaming_server.audio.frames import AUDIO_KIND, FRAME_HEADER

DoorName = Literal["native", "openai", "cartesia", "elevenlabs", "deepgram", "wyoming", "kyutai"]

SAMPLE_RATE = 24_000
"""The sample rate at which protocols are compared; all but Wyoming support it."""

CONTEXT = "reply"
"""The context of every native turn. The name can be reused once the previous turn is done."""


class Listener(Protocol):
    """Receives what a wire decodes. Times are of time.perf_counter, when the bytes were read."""

    def on_message(self, message: dict[str, Any], now: float) -> None:
        """Handle a control message, in the form of the native protocol."""

    def on_audio(self, first_sample: int, size: int, now: float) -> None:
        """Handle `size` bytes of audio."""

    def on_close(self, reason: str | None) -> None:
        """Handle the end of the connection.

        reason: `refused`, `lost`, `restarting`, or None if the client closed it.
        """


class Wire(ABC):
    """The protocol of one connection.

    path: its route. server_first: whether the server sends the first message. white_space: characters added
    to the end of each message's text, for protocols in which a sentence is over with its last word.
    """

    path: ClassVar[str]
    server_first: ClassVar[bool] = False
    white_space: ClassVar[int] = 0

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._samples = 0
        self._ending = False

    @classmethod
    @abstractmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        """Return the payloads of a turn: an opening, one for each part of the text, and an end.

        Empty payloads are not sent.
        """

    def on_open(self, now: float) -> None:
        """Handle an established connection."""
        if not self.server_first:
            self._listener.on_message({"type": "ready", "sample_rate": SAMPLE_RATE}, now)

    def before_last(self) -> None:
        """Note that the next message is the last of its turn."""
        self._ending = True

    def text(self, payload: bytes, now: float) -> None:
        """Handle a text message, where there are such."""
        return

    def binary(self, payload: bytes, now: float) -> None:
        """Handle a binary message; audio by default."""
        self._audio(len(payload), now)

    def _audio(self, size: int, now: float) -> None:
        self._listener.on_audio(self._samples, size, now)
        self._samples += size // 2

    def _done(self, now: float) -> None:
        self._samples = 0
        self._listener.on_message({"type": "done"}, now)

    def _failed(self, now: float) -> None:
        self._samples = 0
        self._listener.on_message({"type": "error", "context": CONTEXT}, now)


class Native(Wire):
    """`/ws/speak` at the engine's sample rate."""

    path = "/ws/speak"
    server_first = True
    options: ClassVar[dict[str, Any]] = {}

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        return (
            orjson.dumps({"type": "start", "context": CONTEXT, **cls.options}),
            *(orjson.dumps({"type": "text", "context": CONTEXT, "text": part}) for part in parts),
            orjson.dumps({"type": "finish", "context": CONTEXT}),
        )

    def text(self, payload: bytes, now: float) -> None:
        self._listener.on_message(orjson.loads(payload), now)

    def binary(self, payload: bytes, now: float) -> None:
        kind, _, _, _, first_sample = FRAME_HEADER.unpack_from(payload)
        if kind == AUDIO_KIND:
            self._listener.on_audio(first_sample, len(payload) - FRAME_HEADER.size, now)


class NativeResampled(Native):
    """The native websocket at the sample rate at which protocols are compared."""

    options: ClassVar[dict[str, Any]] = {"sample_rate": SAMPLE_RATE}


class Cartesia(Wire):
    """One context per turn, continued by each message; base64 audio."""

    path = "/tts/websocket"

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        about = {
            "context_id": CONTEXT,
            "model_id": "any",
            "voice": {"mode": "id", "id": "aria"},
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": SAMPLE_RATE},
        }
        said = (orjson.dumps({**about, "transcript": part, "continue": True}) for part in parts)
        return b"", *said, orjson.dumps({**about, "transcript": "", "continue": False})

    def text(self, payload: bytes, now: float) -> None:
        message = orjson.loads(payload)
        match message["type"]:
            case "chunk":
                self._audio(len(b64decode(message["data"])), now)
            case "done":
                self._done(now)
            case "error":
                self._failed(now)


class ElevenLabs(Wire):
    """Many contexts on one socket; base64 audio with character times."""

    path = "/v1/text-to-speech/aria/multi-stream-input?output_format=pcm_24000"

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        about = {"context_id": CONTEXT}
        return (
            orjson.dumps({"text": " ", **about}),
            *(orjson.dumps({"text": part, **about}) for part in parts),
            orjson.dumps({"text": "", "flush": True, "close_context": True, **about}),
        )

    def text(self, payload: bytes, now: float) -> None:
        message = orjson.loads(payload)
        if message.get("audio"):
            self._audio(len(b64decode(message["audio"])), now)
        if message.get("isFinal"):
            self._done(now)
        elif "error" in message:
            self._failed(now)


class Deepgram(Wire):
    """One turn at a time, each ended by a flush; binary audio."""

    path = f"/v1/speak?encoding=linear16&sample_rate={SAMPLE_RATE}&model=aria"

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        said = (orjson.dumps({"type": "Speak", "text": part}) for part in parts)
        return b"", *said, orjson.dumps({"type": "Flush"})

    def text(self, payload: bytes, now: float) -> None:
        match orjson.loads(payload)["type"]:
            case "Flushed":
                self._done(now)
            case "Error":
                self._failed(now)


class OpenAI(Wire):
    """One HTTP request per sentence, as voice frameworks send them; the response body is audio."""

    path = "/v1/audio/speech"

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._asked = 0
        self._answered = 0

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        requests: list[bytes] = []
        sentence = ""
        for part in parts:
            requests.append(b"")
            if part.startswith(" ") and sentence.endswith((".", "!", "?")):
                requests[-1], sentence = cls._request(sentence), ""
            sentence += part
        return b"", *requests, cls._request(sentence)

    @staticmethod
    def _request(sentence: str) -> bytes:
        return orjson.dumps(
            {"model": "any", "voice": "aria", "input": sentence.strip(), "response_format": "pcm"}
        )

    def on_request(self) -> None:
        """Count a sent request."""
        self._asked += 1

    def on_response(self, status: int, now: float) -> None:
        """Handle a complete response."""
        self._answered += 1
        if status != 200:
            self._failed(now)
        elif self._ending and self._answered == self._asked:
            self._ending = False
            self._done(now)


class Wyoming(Wire):
    """Events over TCP at the engine's sample rate: a line of JSON, more JSON, then audio."""

    path = ""

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        said = (cls._event("synthesize-chunk", text=part) for part in parts)
        return cls._event("synthesize-start"), *said, cls._event("synthesize-stop")

    @staticmethod
    def _event(kind: str, **data: Any) -> bytes:
        return orjson.dumps({"type": kind, "data": data}) + b"\n"

    def event(self, kind: str, data: dict[str, Any], payload: bytes, now: float) -> None:
        match kind:
            case "audio-start":
                self._listener.on_message({"type": "started", "sample_rate": data["rate"]}, now)
            case "audio-chunk":
                self._audio(len(payload), now)
            case "synthesize-stopped":
                self._done(now)
            case "error":
                self._failed(now)


class Kyutai(Wire):
    """MessagePack, one connection per turn; audio as an array of 32-bit floats, each with a type byte."""

    path = "/api/tts_streaming?format=PcmMessagePack&voice=aria"
    server_first = True
    white_space = 1

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._is_ready = False

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        said = (msgpack.packb({"type": "Text", "text": part.strip()}) for part in parts)
        return b"", *said, msgpack.packb({"type": "Eos"})

    def binary(self, payload: bytes, now: float) -> None:
        message = msgpack.unpackb(payload)
        match message["type"]:
            case "Audio":
                self._audio(2 * len(message["pcm"]), now)
            case "Error":
                self._failed(now)
            case "Ready" if not self._is_ready:
                self._is_ready = True
                self._listener.on_message({"type": "ready", "sample_rate": SAMPLE_RATE}, now)

    def on_close(self, now: float) -> bool:
        """Handle a closed connection. Return whether it closed because the turn was over."""
        over, self._ending = self._ending, False
        if over:
            self._done(now)
        return over


def wire_of(door: str) -> type[Wire]:
    """Return the class for a `DoorName`; the native one resamples to SAMPLE_RATE, like the others."""
    return {
        "native": NativeResampled,
        "openai": OpenAI,
        "cartesia": Cartesia,
        "elevenlabs": ElevenLabs,
        "deepgram": Deepgram,
        "wyoming": Wyoming,
        "kyutai": Kyutai,
    }[door]
