"""Messages between the server and the transcriber.

Each is a frame (see `ipc.framing`) whose header is a MessagePack array of the message's name and fields.
MessagePack and not JSON because Whisper's probabilities may be NaN, and paths need not be text.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from streaming_server.errors import ProtocolError
from streaming_server.ipc.framing import Frame, pack
from streaming_server.transcription.transcript import Segment


class _Message(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=str.lower):
    """A tagged array: the name of the class in lower case, then its fields."""


class Transcribe(_Message, frozen=True):
    """Transcribe a file. Answered with `Heard` or `Refused`."""

    path: bytes


class Ready(_Message, frozen=True):
    """The model is loaded."""


class Heard(_Message, frozen=True):
    """Whisper's transcript. language_probability: None for an English-only model."""

    text: str
    language: str
    language_probability: float | None
    segments: tuple[Segment, ...]


class Refused(_Message, frozen=True):
    """The file cannot be transcribed; the next one may be. message: for the user."""

    message: str


class Failed(_Message, frozen=True):
    """The last message of a transcriber that cannot go on. message: for the user."""

    message: str


Answer = Ready | Heard | Refused | Failed

_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[Transcribe] = msgspec.msgpack.Decoder(Transcribe)
_answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)

M = TypeVar("M")


def encode(message: Transcribe | Answer) -> bytes:
    """Return a message as it goes over the socket."""
    return pack(_encoder.encode(message))


def decode_request(frame: Frame) -> Transcribe:
    """Return the request in a frame. Raise ProtocolError."""
    return _decode(_request_decoder, frame)


def decode_answer(frame: Frame) -> Answer:
    """Return the answer in a frame. Raise ProtocolError."""
    return _decode(_answer_decoder, frame)


def _decode(decoder: msgspec.msgpack.Decoder[M], frame: Frame) -> M:
    if frame.body:
        raise ProtocolError(f"A message came with {len(frame.body)} bytes too many.")
    try:
        return decoder.decode(frame.header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"A message could not be decoded: {error}.") from error
