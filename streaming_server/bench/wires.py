"""The protocols the load generator speaks: each door's own messages, and what is heard of its answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64decode
from typing import Any, ClassVar, Literal, Protocol

import msgpack
import orjson

from streaming_server.audio.frames import AUDIO_KIND, FRAME_HEADER

DoorName = Literal["native", "openai", "cartesia", "elevenlabs", "deepgram", "wyoming", "kyutai"]

SAMPLE_RATE = 24_000
"""What doors are compared at: every one of them knows it."""

CONTEXT = "reply"
"""Every native turn's context. The name is free again once the turn before it is done."""


class Listener(Protocol):
    """Who is told. Times are of time.perf_counter, taken when the bytes were read."""

    def heard(self, message: dict[str, Any], now: float) -> None:
        """A control message, as the native socket words it."""

    def played(self, first_sample: int, size: int, now: float) -> None:
        """A piece of audio of `size` bytes."""

    def left(self, reason: str | None) -> None:
        """The connection is over, once: `refused`, `lost`, or None where the client itself ended it."""


class Wire(ABC):
    """One connection's protocol.

    path: where its door is. greeted: whether the server speaks first. white_space: how much each message is
    taken to end with besides its text, so that a sentence is over with its own last word.
    """

    path: ClassVar[str]
    greeted: ClassVar[bool] = False
    white_space: ClassVar[int] = 0

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._samples = 0
        self._ending = False

    @classmethod
    @abstractmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        """A turn that is sent in these parts: an opening, a message for each part, and an end.

        Payloads of text messages; an empty one is not sent.
        """

    def opened(self, now: float) -> None:
        """The connection is there."""
        if not self.greeted:
            self._listener.heard({"type": "ready", "sample_rate": SAMPLE_RATE}, now)

    def ending(self) -> None:
        """The last message of a turn is about to be sent."""
        self._ending = True

    @abstractmethod
    def text(self, payload: bytes, now: float) -> None: ...

    def binary(self, payload: bytes, now: float) -> None:
        """Audio, unless a protocol says otherwise."""
        self._sound(len(payload), now)

    def _sound(self, size: int, now: float) -> None:
        self._listener.played(self._samples, size, now)
        self._samples += size // 2

    def _over(self, now: float) -> None:
        self._samples = 0
        self._listener.heard({"type": "done"}, now)

    def _failed(self, now: float) -> None:
        self._samples = 0
        self._listener.heard({"type": "error", "context": CONTEXT}, now)


class Native(Wire):
    """`/ws/speak` in the engine's own rate."""

    path = "/ws/speak"
    greeted = True
    options: ClassVar[dict[str, Any]] = {}

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        return (
            orjson.dumps({"type": "start", "context": CONTEXT, **cls.options}),
            *(orjson.dumps({"type": "text", "context": CONTEXT, "text": part}) for part in parts),
            orjson.dumps({"type": "finish", "context": CONTEXT}),
        )

    def text(self, payload: bytes, now: float) -> None:
        self._listener.heard(orjson.loads(payload), now)

    def binary(self, payload: bytes, now: float) -> None:
        kind, _, _, _, first_sample = FRAME_HEADER.unpack_from(payload)
        if kind == AUDIO_KIND:
            self._listener.played(first_sample, len(payload) - FRAME_HEADER.size, now)


class NativeResampled(Native):
    """The native socket at the rate the other doors are asked for, to be compared with them."""

    options: ClassVar[dict[str, Any]] = {"sample_rate": SAMPLE_RATE}


class Cartesia(Wire):
    """Contexts of continued transcripts; audio comes in base64."""

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
                self._sound(len(b64decode(message["data"])), now)
            case "done":
                self._over(now)
            case "error":
                self._failed(now)


class ElevenLabs(Wire):
    """Contexts of many on one socket; audio comes in base64, with character times."""

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
            self._sound(len(b64decode(message["audio"])), now)
        if message.get("isFinal"):
            self._over(now)
        elif "error" in message:
            self._failed(now)


class Deepgram(Wire):
    """One turn after the other, each ended by a flush; audio is binary."""

    path = f"/v1/speak?encoding=linear16&sample_rate={SAMPLE_RATE}&model=aria"

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        said = (orjson.dumps({"type": "Speak", "text": part}) for part in parts)
        return b"", *said, orjson.dumps({"type": "Flush"})

    def text(self, payload: bytes, now: float) -> None:
        match orjson.loads(payload)["type"]:
            case "Flushed":
                self._over(now)
            case "Error":
                self._failed(now)


class OpenAI(Wire):
    """A request of HTTP for every sentence, as voice frameworks send them; audio is the body."""

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

    def asked(self) -> None:
        """A request was sent."""
        self._asked += 1

    def answered(self, status: int, now: float) -> None:
        """An answer is whole."""
        self._answered += 1
        if status != 200:
            self._failed(now)
        elif self._ending and self._answered == self._asked:
            self._ending = False
            self._over(now)

    def text(self, payload: bytes, now: float) -> None:
        """There is no text."""


class Wyoming(Wire):
    """Events over TCP, in the engine's own rate: a line of JSON, then more of it, then audio."""

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
                self._listener.heard({"type": "started", "sample_rate": data["rate"]}, now)
            case "audio-chunk":
                self._sound(len(payload), now)
            case "synthesize-stopped":
                self._over(now)
            case "error":
                self._failed(now)

    def text(self, payload: bytes, now: float) -> None:
        """There are no messages."""


class Kyutai(Wire):
    """MessagePack, a connection for every turn; audio is 32-bit floats, each with a mark before it."""

    path = "/api/tts_streaming?format=PcmMessagePack&voice=aria"
    greeted = True
    white_space = 1

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._met = False

    @classmethod
    def messages(cls, parts: tuple[str, ...]) -> tuple[bytes, ...]:
        said = (msgpack.packb({"type": "Text", "text": part.strip()}) for part in parts)
        return b"", *said, msgpack.packb({"type": "Eos"})

    def text(self, payload: bytes, now: float) -> None:
        """There is none."""

    def binary(self, payload: bytes, now: float) -> None:
        message = msgpack.unpackb(payload)
        match message["type"]:
            case "Audio":
                self._sound(2 * len(message["pcm"]), now)
            case "Error":
                self._failed(now)
            case "Ready" if not self._met:
                self._met = True
                self._listener.heard({"type": "ready", "sample_rate": SAMPLE_RATE}, now)

    def hung_up(self, now: float) -> bool:
        """The server has closed; whether because the turn was over."""
        over, self._ending = self._ending, False
        if over:
            self._over(now)
        return over


def wire_of(door: str) -> type[Wire]:
    """Of a `DoorName`. The native socket at the common rate, so that doors differ in nothing else."""
    return {
        "native": NativeResampled,
        "openai": OpenAI,
        "cartesia": Cartesia,
        "elevenlabs": ElevenLabs,
        "deepgram": Deepgram,
        "wyoming": Wyoming,
        "kyutai": Kyutai,
    }[door]
